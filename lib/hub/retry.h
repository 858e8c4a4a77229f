// SPDX-License-Identifier: Apache-2.0
// Requests that are tried again: which, and when.
#pragma once

#include <atomic>
#include <chrono>
#include <optional>
#include <string>

#include "base/files.h"
#include "base/hash.h"
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

// Broken connections, 408, 429 and 5xx.
bool may_be_tried_again(const HttpReply& reply);

// Before attempt number `attempt` (from 1): what the reply's Retry-After asks for (at most 5
// minutes), else settings.wait doubled.
std::chrono::milliseconds wait_before(int attempt, const HttpReply& reply,
                                      const HubSettings& settings);

// Says on the log that `url` is tried again, and waits. Throws TransferCancelled when `cancelled`
// is set, and gradus::Error when a stop was asked for.
void wait_to_retry(const std::string& url, int attempt, const HttpReply& reply,
                   const HubSettings& settings, const std::atomic<bool>* cancelled);

// "bytes 100-199/200" -> 100.
std::optional<int64_t> first_byte_of(const std::string& content_range);

// Throws gradus::Error when the disk of `folder` has fewer free bytes.
void check_space(const fs::path& folder, int64_t bytes);

// Throws that a file of the cache `what` (errno says why), with what to do about a full disk.
[[noreturn]] void throw_file_error(const fs::path& path, const std::string& what);
// Makes `hasher` ready for the file's bytes; hex() of a whole file is then its etag().
void start_blob_digest(std::optional<Hasher>& hasher, const HubFile& file);

}  // namespace gradus
