// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/component.h"

#include "text/unicode.h"

namespace gradus {

const Json& json_member(const Json& object, const std::string& key, const std::string& where) {
  if (!object.is_object() || !object.contains(key)) json_missing(key, where);
  return object.at(key);
}

const Json& json_array(const Json& object, const std::string& key, const std::string& where) {
  const Json& value = json_member(object, key, where);
  if (!value.is_array()) json_wrong_type(value, key, "a list", where);
  return value;
}

Matcher read_pattern(const Json& component, const std::string& where) {
  const Json pattern = json_get<Json>(component, "pattern", where);
  if (pattern.is_object() && pattern.size() == 1) {
    if (pattern.contains("String"))
      return match_literal(json_get<std::string>(pattern, "String", where));
    if (pattern.contains("Regex"))
      return match_regex(json_get<std::string>(pattern, "Regex", where), where);
  }
  json_wrong_type(pattern, "pattern", "{\"String\": …} or {\"Regex\": …}", where);
}

SplitBehavior read_behavior(const std::string& name, const std::string& where) {
  static const Component<SplitBehavior> kBehaviors[] = {
      {"Removed", SplitBehavior::kRemoved},
      {"Isolated", SplitBehavior::kIsolated},
      {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
      {"MergedWithNext", SplitBehavior::kMergedWithNext},
      {"Contiguous", SplitBehavior::kContiguous},
  };
  return find_component(kBehaviors, name, where + ": behavior");
}

std::string read_character(const Json& component, const std::string& key,
                           const std::string& where) {
  const std::string value = json_get<std::string>(component, key, where);
  if (count_code_points(value) != 1)
    json_wrong_type(component.at(key), key, "a string of one character", where);
  return value;
}

void check_component_depth(int depth, const std::string& where) {
  if (depth > 16) throw Error({.what = "sequences are nested too deeply", .where = where});
}

}  // namespace gradus
