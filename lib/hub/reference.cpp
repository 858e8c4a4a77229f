// SPDX-License-Identifier: Apache-2.0
#include "hub/reference.h"

#include <algorithm>
#include <array>
#include <vector>

#include "base/error.h"

namespace gradus {
namespace {

constexpr std::string_view kScheme = "hf://";
constexpr size_t kMaxPath = 1000;

[[noreturn]] void refuse(const std::string& text, const std::string& found) {
  throw Error({.what = "is no name on a hub",
               .where = printable(text, 200),
               .expected = "hf://owner/name[@revision][/path] or hf://datasets/owner/name…",
               .found = found});
}

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.';
}

// The hub's own rule; "--" separates owner and name in the cache.
bool is_repository_part(std::string_view part) {
  if (part.empty() || part.size() > 96) return false;
  if (std::string_view("-.").find(part.front()) != std::string_view::npos) return false;
  if (std::string_view("-.").find(part.back()) != std::string_view::npos) return false;
  return std::all_of(part.begin(), part.end(), is_name_character) &&
         part.find("--") == std::string_view::npos && part.find("..") == std::string_view::npos;
}

std::string take_until(std::string_view& rest, std::string_view stops) {
  const size_t end = std::min(rest.find_first_of(stops), rest.size());
  std::string part(rest.substr(0, end));
  rest.remove_prefix(end);
  return part;
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if ((c | 32) >= 'a' && (c | 32) <= 'f') return (c | 32) - 'a' + 10;
  return -1;
}

std::string percent_decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex_value(text[i + 1]) >= 0 &&
        hex_value(text[i + 2]) >= 0) {
      out += static_cast<char>(16 * hex_value(text[i + 1]) + hex_value(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

// refs/pr/7 and refs/convert/parquet hold slashes and are revisions all the same: the length of
// what stands before the last part of one, else 0.
size_t special_prefix(std::string_view revision) {
  for (const std::string_view special : {"refs/pr/", "refs/convert/"}) {
    if (revision.starts_with(special)) return special.size();
  }
  return 0;
}

std::string take_revision(std::string_view& rest) {
  if (const size_t length = special_prefix(rest); length > 0) {
    const std::string special(rest.substr(0, length));
    rest.remove_prefix(length);
    return special + take_until(rest, "/");
  }
  return percent_decoded(take_until(rest, "/"));
}

// A revision becomes a file name below refs/ and a part of a URL.
bool is_revision(std::string_view revision) {
  const size_t special = special_prefix(revision);
  return is_safe_relative_path(revision) && revision.size() <= 250 &&
         (special == 0 || revision.find('/', special) == std::string_view::npos);
}

}  // namespace

bool is_hub_reference(std::string_view text) { return text.starts_with(kScheme); }

bool is_commit(std::string_view revision) {
  return revision.size() == 40 &&
         revision.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool is_safe_relative_path(std::string_view path) {
  if (path.empty() || path.size() > kMaxPath) return false;
  for (const char c : path) {
    if (static_cast<unsigned char>(c) < 32 || c == 127 || c == '\\') return false;
  }
  while (true) {
    const size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    if (part.empty() || part == "." || part == ".." || part.size() > 255) return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

HubReference parse_hub_reference(const std::string& text) {
  std::string_view rest = text;
  if (!is_hub_reference(text)) refuse(text, "no hf://");
  rest.remove_prefix(kScheme.size());
  HubReference reference;
  if (rest.starts_with("datasets/")) reference.kind = HubKind::kDataset;
  for (const std::string_view prefix : {"datasets/", "models/"}) {
    if (!rest.starts_with(prefix)) continue;
    rest.remove_prefix(prefix.size());
    break;
  }
  const std::string owner = take_until(rest, "/");
  if (rest.empty()) refuse(text, "no owner before the name");
  rest.remove_prefix(1);
  const std::string name = take_until(rest, "/@");
  for (const std::string& part : {owner, name}) {
    if (!is_repository_part(part)) refuse(text, "'" + printable(part) + "'");
  }
  reference.repository = owner + "/" + name;
  if (rest.starts_with('@')) {
    rest.remove_prefix(1);
    reference.revision = take_revision(rest);
    if (!is_revision(reference.revision))
      refuse(text, "revision '" + printable(reference.revision) + "'");
  }
  if (rest.starts_with('/')) rest.remove_prefix(1);
  if (rest.ends_with('/')) rest.remove_suffix(1);
  if (!rest.empty() && !is_safe_relative_path(rest))
    refuse(text, "path '" + printable(rest, 200) + "'");
  reference.path = rest;
  return reference;
}

std::string to_string(const HubReference& reference) {
  const bool special = special_prefix(reference.revision) > 0;
  return cat(kScheme, reference.kind == HubKind::kDataset ? "datasets/" : "", reference.repository,
             "@", special ? reference.revision : url_encode(reference.revision),
             reference.path.empty() ? "" : "/", reference.path);
}

std::string url_encode(std::string_view text) {
  static const char* digits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    if (is_name_character(c) || c == '~') {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += {'%', digits[byte >> 4], digits[byte & 15]};
    }
  }
  return out;
}

std::string url_encode_path(std::string_view path) {
  std::string out;
  while (true) {
    const size_t slash = path.find('/');
    out += url_encode(path.substr(0, slash));
    if (slash == std::string_view::npos) return out;
    out += '/';
    path.remove_prefix(slash + 1);
  }
}

std::string hub_source(const fs::path& path) {
  const fs::path normal = fs::absolute(path).lexically_normal();
  const std::vector<std::string> parts(normal.begin(), normal.end());
  for (size_t i = 0; i + 2 < parts.size(); ++i) {
    if (parts[i + 1] != "snapshots" || !is_commit(parts[i + 2])) continue;
    HubReference reference{.repository = {}, .revision = parts[i + 2], .path = {}};
    std::string_view name = parts[i];
    if (name.starts_with("datasets--")) reference.kind = HubKind::kDataset;
    if (!name.starts_with("datasets--") && !name.starts_with("models--")) continue;
    name.remove_prefix(name.find("--") + 2);
    const size_t split = name.find("--");
    if (split == std::string_view::npos) continue;
    reference.repository = cat(name.substr(0, split), "/", name.substr(split + 2));
    for (size_t k = i + 3; k < parts.size(); ++k) {
      if (parts[k].empty()) continue;
      reference.path += (reference.path.empty() ? "" : "/") + parts[k];
    }
    return to_string(reference);
  }
  return "";
}

}  // namespace gradus
