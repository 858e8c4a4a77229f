// SPDX-License-Identifier: Apache-2.0
// A large file over several connections, each of which fetches one part of it at a time.
//
// <destination>.parts holds the bytes in their places, <destination>.parts.json which of them are
// there, so that a later call or process goes on. <destination>.incomplete stays what it is to
// Python and to fetch_file, the beginning of the file, and is taken over when there is one.
#pragma once

#include <optional>
#include <string>

#include "hub/listing.h"
#include "hub/retry.h"

namespace gradus {

// As fetch_file. Nothing is returned when the server sends no ranges: fetch_file can then do it.
std::optional<HttpReply> fetch_in_parts(const std::string& url, const HubFile& file,
                                        const fs::path& destination, const HubSettings& settings,
                                        int connections, TransferState& state);

// Of a file of `bytes` bytes: large enough that requests do not count, small enough to share.
int64_t part_bytes(int64_t bytes);

}  // namespace gradus
