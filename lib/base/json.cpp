// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

#include <algorithm>
#include <set>
#include <vector>

#include "base/error.h"

namespace gradus {
namespace {

constexpr int kMaxDepth = 200;

std::string place(std::string_view text, size_t offset, const std::string& where) {
  offset = std::min(offset, text.size());
  const std::string_view before = text.substr(0, offset);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const size_t newline = before.rfind('\n');
  const size_t column = newline == std::string_view::npos ? offset + 1 : offset - newline;
  return cat(where, ":", line, ":", column);
}

// Refuses too deep nesting and duplicate keys while nlohmann parses; it calls back per event.
struct Guard {
  const std::string& where;
  std::vector<std::set<std::string>> keys;

  bool operator()(int depth, Json::parse_event_t event, Json& parsed) {
    using Event = Json::parse_event_t;
    if (depth > kMaxDepth)
      throw Error({.what = "JSON is nested too deeply",
                   .where = where,
                   .expected = cat("at most ", kMaxDepth, " levels")});
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end && !keys.empty()) keys.pop_back();
    if (event == Event::key && !keys.empty() &&
        !keys.back().insert(parsed.get<std::string>()).second) {
      throw Error(
          {.what = "duplicate key '" + printable(parsed.get<std::string>()) + "'", .where = where});
    }
    return true;
  }
};

// nlohmann's message without its "[json.exception…]" prefix and position, which we give ourselves.
std::string reason(const std::string& message) {
  const size_t syntax = message.find("syntax error");
  std::string text = syntax == std::string::npos ? message : message.substr(syntax);
  return printable(text, 160);
}

}  // namespace

Json parse_json(std::string_view text, const std::string& where) {
  try {
    Guard guard{where, {}};
    return Json::parse(text.begin(), text.end(),
                       [&guard](int depth, Json::parse_event_t event, Json& parsed) {
                         return guard(depth, event, parsed);
                       });
  } catch (const Json::parse_error& error) {
    throw Error({.what = "is not valid JSON: " + reason(error.what()),
                 .where = place(text, error.byte ? error.byte - 1 : 0, where)});
  }
}

Json read_json(const fs::path& path) { return parse_json(read_file(path), path.string()); }

void write_json(const fs::path& path, const Json& value) {
  write_file_atomic(path, value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

void json_missing(const std::string& key, const std::string& where) {
  throw Error({.what = "key '" + key + "' is missing", .where = where});
}

void json_wrong_type(const Json& value, const std::string& key, const char* expected,
                     const std::string& where) {
  throw Error({.what = "key '" + key + "' has the wrong type",
               .where = where,
               .expected = expected,
               .found = printable(value.dump(-1, ' ', false, Json::error_handler_t::replace), 60)});
}

}  // namespace gradus
