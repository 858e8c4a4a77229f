// SPDX-License-Identifier: Apache-2.0
// Constraints of recipe fields. A rule is a function on Rules and is passed to the visitor after
// the help text: v("lr", lr, "peak learning rate", rule::positive).
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace gradus {

enum class PathKind { kNone, kInput, kData, kOutput, kCache };

// For lists, maps and optionals, non_empty and required concern the container and all other rules
// concern each value in it.
struct Rules {
  bool required = false;
  bool non_empty = false;
  std::optional<double> minimum;
  std::optional<double> maximum;
  bool excludes_minimum = false;
  bool excludes_maximum = false;
  std::vector<std::string> choices;
  PathKind path = PathKind::kNone;
  std::string unit;

  bool reads_path() const { return path == PathKind::kInput || path == PathKind::kData; }
};

namespace rule {

// The key must be given; a required text must not be "".
inline void required(Rules& rules) { rules.required = true; }
inline void non_empty(Rules& rules) { rules.non_empty = true; }

inline auto at_least(double bound) {
  return [bound](Rules& rules) { rules.minimum = bound; };
}
inline auto at_most(double bound) {
  return [bound](Rules& rules) { rules.maximum = bound; };
}
inline auto in_range(double low, double high) {
  return [low, high](Rules& rules) { rules.minimum = low, rules.maximum = high; };
}
inline auto above(double bound) {
  return [bound](Rules& rules) { rules.minimum = bound, rules.excludes_minimum = true; };
}
inline auto below(double bound) {
  return [bound](Rules& rules) { rules.maximum = bound, rules.excludes_maximum = true; };
}
inline void positive(Rules& rules) { above(0)(rules); }

// Text that is one of these; closed sets of behaviours should be enums.
inline auto one_of(const std::vector<std::string>& choices) {
  return [choices](Rules& rules) { rules.choices = choices; };
}

// A file or folder that must exist when the recipe is loaded; "" means none, and anything with a
// scheme ("hf://…") is not looked for. Relative paths start at the current folder, as in a
// Makefile.
inline void path_input(Rules& rules) { rules.path = PathKind::kInput; }
// The same for a data set: every visible file of a folder counts, whatever it is called.
inline void path_data(Rules& rules) { rules.path = PathKind::kData; }
inline void path_output(Rules& rules) { rules.path = PathKind::kOutput; }
// A folder that runs share and that may be emptied at any time: neither input nor result.
inline void path_cache(Rules& rules) { rules.path = PathKind::kCache; }

// Shown in the help, e.g. unit("ms").
inline auto unit(const std::string& name) {
  return [name](Rules& rules) { rules.unit = name; };
}

}  // namespace rule
}  // namespace gradus
