// SPDX-License-Identifier: Apache-2.0
// Bytes from the hub: requests that are tried again, and files that continue where they broke off.
#pragma once

#include <string>

#include "hub/listing.h"
#include "hub/retry.h"

namespace gradus {

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

}  // namespace gradus
