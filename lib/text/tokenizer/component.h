// SPDX-License-Identifier: Apache-2.0
// Helpers to read the components of a tokenizer.json, each an object with a "type".
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/json.h"
#include "text/tokenizer/pieces.h"

namespace gradus {

// A name of a component and what builds it; tables of these are searched by find_component.
template <class Maker>
struct Component {
  std::string_view type;
  Maker make;
};

// Throws naming an unknown type and the known ones.
template <class Maker, size_t N>
const Maker& find_component(const Component<Maker> (&table)[N], const std::string& type,
                            const std::string& where) {
  std::string known;
  for (const auto& entry : table) {
    if (entry.type == type) return entry.make;
    known += (known.empty() ? "" : ", ") + std::string(entry.type);
  }
  throw Error({.what = "component type '" + printable(type) + "' is not supported",
               .where = where,
               .expected = known});
}

// A member without a copy; throws when it is missing.
const Json& json_member(const Json& object, const std::string& key, const std::string& where);
// A member that must be an array.
const Json& json_array(const Json& object, const std::string& key, const std::string& where);
// {"String": "…"} or {"Regex": "…"} under "pattern".
Matcher read_pattern(const Json& component, const std::string& where);
SplitBehavior read_behavior(const std::string& name, const std::string& where);
// A string of exactly one code point.
std::string read_character(const Json& component, const std::string& key, const std::string& where);
// Sequences may contain sequences, up to a depth that no real file reaches.
void check_component_depth(int depth, const std::string& where);

}  // namespace gradus
