// SPDX-License-Identifier: Apache-2.0
// Bytes from the hub: requests that are tried again, and files that continue where they broke off.
#pragma once

#include <atomic>
#include <chrono>
#include <string>

#include "hub/http.h"
#include "hub/listing.h"

namespace gradus {

// What the transfers of one fetch share. Safe from several threads.
struct TransferState {
  std::atomic<int64_t> bytes{0};       // received so far
  std::atomic<bool> cancelled{false};  // one of them failed: the others stop
};

// Thrown out of a transfer when another one failed first.
struct TransferCancelled {};

// Tries again after broken connections and after 408, 429 and 5xx, waiting longer each time or as
// long as Retry-After says (at most 5 minutes). The last reply is returned, whatever it is.
HttpReply get_with_retries(HttpClient& client, const std::string& url, const HubSettings& settings);

// Fetches `url` into `destination`, by way of <destination>.incomplete, which a later call (or
// process) continues. Size and digest (SHA-256, or git's blob SHA-1) must be those of `file`;
// content that differs is thrown away and fetched once more, then an Error. The caller holds the
// file's lock. An HTTP error is returned as the reply; ok() means that `destination` is there.
HttpReply fetch_file(HttpClient& client, const std::string& url, const HubFile& file,
                     const fs::path& destination, const HubSettings& settings,
                     TransferState& state);

// Before attempt number `attempt` (from 1): what the reply asks for, else settings.wait doubled.
std::chrono::milliseconds wait_before(int attempt, const HttpReply& reply,
                                      const HubSettings& settings);

}  // namespace gradus
