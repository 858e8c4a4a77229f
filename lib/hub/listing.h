// SPDX-License-Identifier: Apache-2.0
// What a repository holds at one commit: the hub's answers, parsed and bounded. No network here.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/json.h"

namespace gradus {

struct HubFile {
  int64_t bytes = 0;
  std::string git_sha1;  // of "blob <bytes>\0" and the content; of the pointer file for LFS files
  std::string sha256;    // of the content; "" for files that are not in LFS

  // The name of its blob in the cache: the ETag that the hub gives.
  const std::string& etag() const { return sha256.empty() ? git_sha1 : sha256; }
};

using HubListing = std::map<std::string, HubFile>;  // by path in the repository

constexpr size_t kMaxHubFiles = 100'000;
constexpr int64_t kMaxHubFileBytes = int64_t{1} << 40;

// Adds one page of /api/models/ID/tree/COMMIT?recursive=true. Throws gradus::Error naming `where`
// for sizes, digests and paths that may not be used (a path that leads out of the folder).
void add_tree_page(HubListing& listing, std::string_view body, const std::string& where);
// The "sha" of /api/models/ID/revision/REVISION: a commit.
std::string commit_of(std::string_view body, const std::string& where);
// The rel="next" target of a Link header (RFC 8288); "" without one.
std::string next_page(std::string_view link_header);

// The listing as huggingface_hub's tree cache writes it.
Json listing_json(const HubListing& listing);
HubListing listing_from_json(const Json& json, const std::string& where);

}  // namespace gradus
