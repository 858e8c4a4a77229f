// SPDX-License-Identifier: Apache-2.0
// YAML as a tree in which every value and key knows its place.
//
// Goals: YAML 1.2's core types, block and flow style, anchors, aliases and merge keys (`<<`), with
// line and column, on input that is not trusted. Non-goals: tags, several documents, keys that are
// not text. Parsing is yaml-cpp's; its own node tree is not used, because it hides duplicate keys
// and expands aliases without bound.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "recipe/problems.h"

namespace gradus {

constexpr size_t kMaxYamlBytes = 10'000'000;
constexpr size_t kMaxYamlDepth = 64;
constexpr size_t kMaxYamlNodes = 200'000;  // after aliases are expanded

struct YamlNode;
// Nodes never change once built, so aliases and edited copies share them.
using YamlPtr = std::shared_ptr<const YamlNode>;

struct YamlEntry {
  std::string key;
  Place place = {};
  YamlPtr value;
};

struct YamlNode {
  enum class Kind { kNull, kPlain, kQuoted, kList, kMap };
  Kind kind = Kind::kNull;
  Place place = {};
  std::string text = {};                // kPlain, kQuoted
  std::vector<YamlPtr> items = {};      // kList
  std::vector<YamlEntry> entries = {};  // kMap, in the order of the file
  size_t nodes = 1;                     // this one and all below, aliases counted at each use

  bool is_text() const { return kind == Kind::kPlain || kind == Kind::kQuoted; }
};

// The one document in `text`, a null node when there is none. Duplicate keys go to `problems`; so
// do syntax errors and exceeded bounds, and then the result is nullptr. Nodes stand at their line
// of `origin` if that has a line (a file: line 1, column 1), else all at `origin` (an override).
YamlPtr parse_yaml(std::string_view text, const Place& origin, Problems& problems);

// The offset of the first byte that YAML does not allow (broken UTF-8, control characters), npos
// when there is none. yaml-cpp takes \x04 for the end of the text and keeps broken UTF-8.
size_t first_bad_byte(std::string_view text);

// At most kMaxYamlBytes of a file; throws gradus::Error.
std::string read_yaml_file(const fs::path& path);

// Plain text by YAML 1.2's core schema; nothing when it is of another type or out of range.
std::optional<bool> yaml_bool(std::string_view text);
std::optional<int64_t> yaml_int(std::string_view text);
std::optional<double> yaml_double(std::string_view text);  // finite; integers too
// Looks like a number, whether or not it fits.
bool yaml_is_int(std::string_view text);
bool yaml_is_number(std::string_view text);

// "a list", "'fast'", "nothing": what was found, for an error.
std::string describe(const YamlNode& node);

}  // namespace gradus
