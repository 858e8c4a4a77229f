// SPDX-License-Identifier: Apache-2.0
// Names of things on a Hugging Face hub, as recipes write them:
//
//   hf://owner/name[@revision][/path]            a model
//   hf://datasets/owner/name[@revision][/path]   a data set
//
// A revision is a branch, a tag, a commit, refs/pr/N or refs/convert/NAME; a slash in any other one
// is written %2F. The grammar is that of Python's huggingface_hub.
#pragma once

#include <string>
#include <string_view>

#include "base/files.h"

namespace gradus {

enum class HubKind { kModel, kDataset };

struct HubReference {
  HubKind kind = HubKind::kModel;
  std::string repository;         // "owner/name"
  std::string revision = "main";  // as the user named it, or a commit
  std::string path;               // inside the repository; "" is all of it

  bool operator==(const HubReference&) const = default;
};

bool is_hub_reference(std::string_view text);
// Throws gradus::Error quoting `text` for anything that is not of the forms above.
HubReference parse_hub_reference(const std::string& text);
std::string to_string(const HubReference& reference);

bool is_commit(std::string_view revision);  // 40 lower-case hexadecimal digits
// Whether a path from a server may be joined to a folder: relative, no empty part, "." or "..", no
// control character or backslash, at most 1000 bytes.
bool is_safe_relative_path(std::string_view path);

// Percent-encodes all but unreserved characters; slashes are kept in a path.
std::string url_encode_path(std::string_view path);
std::string url_encode(std::string_view text);

// "hf://owner/name@COMMIT[/path]" for a path inside a hub's cache (…/models--owner--name/
// snapshots/COMMIT/…), "" for any other. Only the names are looked at.
std::string hub_source(const fs::path& path);

}  // namespace gradus
