// SPDX-License-Identifier: Apache-2.0
// What is wrong with a recipe: every problem is kept with its place, so that one run shows all.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace gradus {

// Where a value was written. Lines and columns count from 1, columns in bytes; line 0 means that
// the source has no lines (an override, a missing key of an empty file).
struct Place {
  std::shared_ptr<const std::string> source;  // "recipe.yaml" or "override 'lr=1'"
  int line = 0;
  int column = 0;
};

std::string to_string(const Place& place);

struct Problem {
  Place place;
  std::string key;  // full dotted key, "" for the recipe as a whole
  std::string message;
};

// Collects problems. A recipe's `void check(Problems&) const` hook uses add() with keys relative to
// its own struct; the rest is for the loader.
class Problems {
 public:
  // `key` may be dotted, or "" for the struct itself. The line shown is that of the key, or of the
  // nearest enclosing key that was written.
  void add(const std::string& key, const std::string& message);

  void add_at(const Place& place, const std::string& key, const std::string& message);
  void note_place(const std::string& key, const Place& place) { places_[key] = place; }
  Place place_of(std::string key) const;
  // Whether a problem is known for `key` or for something below it.
  bool any_under(const std::string& key) const;
  void set_scope(const std::string& key) { scope_ = key; }
  bool empty() const { return count_ == 0; }
  // Throws one gradus::Error with a line per problem, in the order of the file; returns if none.
  void throw_if_any() const;

 private:
  std::vector<Problem> problems_;  // the first kMaxKept
  size_t count_ = 0;
  std::map<std::string, Place> places_;
  std::string scope_;
};

// "a.b", or the one that is not empty.
std::string join_key(std::string_view parent, std::string_view child);

// "what (expected E, found F)", as in gradus::Error.
std::string expected_found(const std::string& what, const std::string& expected,
                           const std::string& found);

// "a, b, c", cut after a dozen names.
std::string name_list(const std::vector<std::string>& names);

// "unknown key (did you mean lr?)"; without a near name, the list of known ones.
std::string unknown_name(const std::string& what, const std::string& name,
                         const std::vector<std::string>& known);

// "unknown value (expected one of cosine, linear, found 'cosin'); did you mean cosine?"
std::string unknown_value(const std::string& value, const std::vector<std::string>& allowed);

}  // namespace gradus
