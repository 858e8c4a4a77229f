// SPDX-License-Identifier: Apache-2.0
#include "recipe/problems.h"

#include <algorithm>
#include <climits>

#include "base/error.h"

namespace gradus {
namespace {

// A hostile file may hold a problem per byte: the first thousand are kept, fifty are shown.
constexpr size_t kMaxKept = 1000;
constexpr size_t kMaxShown = 50;

std::string one_line(const Problem& problem) {
  std::string line = to_string(problem.place);
  for (const std::string& part : {printable(problem.key, 200), problem.message}) {
    if (!line.empty() && !part.empty()) line += ": ";
    line += part;
  }
  return line;
}

// Longer names are nobody's typing mistake, and the distance is quadratic.
std::string near_name(const std::string& name, const std::vector<std::string>& known) {
  return name.size() <= 100 ? nearest_name(name, known) : "";
}

}  // namespace

std::string to_string(const Place& place) {
  std::string text = place.source ? *place.source : "";
  if (place.line > 0) text += cat(":", place.line, ":", place.column);
  return text;
}

void Problems::add(const std::string& key, const std::string& message) {
  const std::string full = join_key(scope_, key);
  add_at(place_of(full), full, message);
}

void Problems::add_at(const Place& place, const std::string& key, const std::string& message) {
  ++count_;
  if (problems_.size() < kMaxKept) problems_.push_back({place, key, message});
}

Place Problems::place_of(std::string key) const {
  while (true) {
    if (const auto found = places_.find(key); found != places_.end()) return found->second;
    if (key.empty()) return {};
    const size_t dot = key.rfind('.');
    key.resize(dot == std::string::npos ? 0 : dot);
  }
}

bool Problems::any_under(const std::string& key) const {
  return std::any_of(problems_.begin(), problems_.end(), [&](const Problem& problem) {
    if (key.empty() || problem.key == key) return true;
    return problem.key.size() > key.size() && problem.key[key.size()] == '.' &&
           problem.key.compare(0, key.size(), key) == 0;
  });
}

void Problems::throw_if_any() const {
  if (empty()) return;
  std::vector<Problem> sorted = problems_;
  const auto rank = [](const Place& place) { return place.line > 0 ? place.line : INT_MAX; };
  std::stable_sort(sorted.begin(), sorted.end(), [&](const Problem& a, const Problem& b) {
    return std::pair(rank(a.place), a.place.column) < std::pair(rank(b.place), b.place.column);
  });
  std::string lines;
  for (size_t i = 0; i < std::min(sorted.size(), kMaxShown); ++i) {
    lines += (i > 0 ? "\n" : "") + one_line(sorted[i]);
  }
  if (count_ > kMaxShown) lines += cat("\n… and ", count_ - kMaxShown, " more problems");
  throw Error(lines);
}

std::string join_key(std::string_view parent, std::string_view child) {
  if (parent.empty() || child.empty()) return std::string(parent.empty() ? child : parent);
  return cat(parent, ".", child);
}

std::string expected_found(const std::string& what, const std::string& expected,
                           const std::string& found) {
  return what + " (expected " + expected + ", found " + found + ")";
}

std::string name_list(const std::vector<std::string>& names) {
  constexpr size_t kMaxNames = 12;
  std::string list;
  for (size_t i = 0; i < std::min(names.size(), kMaxNames); ++i) {
    list += (i > 0 ? ", " : "") + names[i];
  }
  return names.size() > kMaxNames ? list + ", …" : list;
}

std::string unknown_name(const std::string& what, const std::string& name,
                         const std::vector<std::string>& known) {
  const std::string near = near_name(name, known);
  if (!near.empty()) return what + " (did you mean " + near + "?)";
  if (known.empty()) return what + " (there is none)";
  return what + " (expected one of " + name_list(known) + ")";
}

std::string unknown_value(const std::string& value, const std::vector<std::string>& allowed) {
  const std::string message =
      expected_found("unknown value", "one of " + name_list(allowed), "'" + printable(value) + "'");
  const std::string near = near_name(value, allowed);
  return near.empty() ? message : message + "; did you mean " + near + "?";
}

}  // namespace gradus
