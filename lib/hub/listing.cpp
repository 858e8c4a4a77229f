// SPDX-License-Identifier: Apache-2.0
#include "hub/listing.h"

#include <algorithm>

#include "base/error.h"
#include "hub/reference.h"

namespace gradus {
namespace {

bool is_hex(std::string_view text, size_t digits) {
  return text.size() == digits &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

[[noreturn]] void refuse(const std::string& what, const std::string& where,
                         const std::string& found) {
  throw Error({.what = what, .where = where, .found = printable(found, 200)});
}

std::string digest(const Json& json, const std::string& key, size_t digits,
                   const std::string& where) {
  const auto text = json_get<std::string>(json, key, where);
  if (!is_hex(text, digits)) refuse("key '" + key + "' is no digest", where, text);
  return text;
}

int64_t size_of(const Json& json, const std::string& key, const std::string& where) {
  const auto bytes = json_get<int64_t>(json, key, where);
  if (bytes < 0 || bytes > kMaxHubFileBytes)
    refuse("a file has an impossible size", where, cat(bytes));
  return bytes;
}

void add_file(HubListing& listing, const std::string& path, const HubFile& file,
              const std::string& where) {
  if (!is_safe_relative_path(path)) refuse("a file's path may not be used", where, path);
  if (listing.size() >= kMaxHubFiles) refuse("lists too many files", where, path);
  if (!listing.emplace(path, file).second) refuse("lists a file twice", where, path);
}

bool is_space(char c) { return c == ' ' || c == '\t'; }

void skip(std::string_view& text, std::string_view characters) {
  text.remove_prefix(std::min(text.find_first_not_of(characters), text.size()));
}

// One `; name="value"` or `; name=value`; the text after it stays in `rest`.
std::pair<std::string, std::string> take_parameter(std::string_view& rest) {
  const size_t name_end = std::min(rest.find_first_of("=;,"), rest.size());
  std::string name(rest.substr(0, name_end));
  while (!name.empty() && is_space(name.back())) name.pop_back();
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  rest.remove_prefix(name_end);
  if (!rest.starts_with('=')) return {name, ""};
  rest.remove_prefix(1);
  skip(rest, " \t");
  const bool quoted = rest.starts_with('"');
  if (quoted) rest.remove_prefix(1);
  const size_t end = std::min(quoted ? rest.find('"') : rest.find_first_of(";, \t"), rest.size());
  std::string value(rest.substr(0, end));
  rest.remove_prefix(std::min(end + (quoted ? 1 : 0), rest.size()));
  return {name, value};
}

}  // namespace

void add_tree_page(HubListing& listing, std::string_view body, const std::string& where) {
  const Json page = parse_json(body, where);
  if (!page.is_array()) json_wrong_type(page, "tree", "an array", where);
  for (const Json& entry : page) {
    if (json_get<std::string>(entry, "type", where) != "file") continue;
    HubFile file{.bytes = size_of(entry, "size", where),
                 .git_sha1 = digest(entry, "oid", 40, where),
                 .sha256 = {}};
    const auto lfs = json_get<Json>(entry, "lfs", Json(), where);
    if (!lfs.is_null()) {
      file.sha256 = digest(lfs, "oid", 64, where);
      file.bytes = size_of(lfs, "size", where);
    }
    add_file(listing, json_get<std::string>(entry, "path", where), file, where);
  }
}

std::string commit_of(std::string_view body, const std::string& where) {
  return digest(parse_json(body, where), "sha", 40, where);
}

std::string next_page(std::string_view header) {
  while (true) {
    skip(header, " \t,");
    if (!header.starts_with('<')) return "";
    const size_t end = header.find('>');
    if (end == std::string_view::npos) return "";
    const std::string target(header.substr(1, end - 1));
    header.remove_prefix(end + 1);
    skip(header, " \t");
    while (header.starts_with(';')) {
      header.remove_prefix(1);
      skip(header, " \t");
      const auto [name, value] = take_parameter(header);
      if (name == "rel" && value == "next") return target;
      skip(header, " \t");
    }
  }
}

Json listing_json(const HubListing& listing) {
  Json::object_t files;
  for (const auto& [path, file] : listing) {
    Json entry = {{"size", file.bytes}, {"blob_id", file.git_sha1}};
    if (!file.sha256.empty()) {
      entry["lfs_sha256"] = file.sha256;
      entry["lfs_size"] = file.bytes;
    }
    files.emplace_back(path, std::move(entry));
  }
  return {{"format_version", 1}, {"files", Json(std::move(files))}};
}

HubListing listing_from_json(const Json& json, const std::string& where) {
  if (json_get<int64_t>(json, "format_version", where) != 1)
    refuse("has an unknown format", where, json.at("format_version").dump());
  const auto files = json_get<Json>(json, "files", where);
  if (!files.is_object()) json_wrong_type(files, "files", "an object", where);
  HubListing listing;
  for (const auto& [path, entry] : files.items()) {
    HubFile file{.bytes = size_of(entry, "size", where),
                 .git_sha1 = digest(entry, "blob_id", 40, where),
                 .sha256 = {}};
    if (entry.contains("lfs_sha256")) {
      file.sha256 = digest(entry, "lfs_sha256", 64, where);
      file.bytes = size_of(entry, "lfs_size", where);
    }
    add_file(listing, path, file, where);
  }
  return listing;
}

}  // namespace gradus
