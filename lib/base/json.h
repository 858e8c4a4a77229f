// SPDX-License-Identifier: Apache-2.0
// JSON from outside, with a place in every error. Objects keep the order of the file.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/files.h"

namespace gradus {

using Json = nlohmann::ordered_json;

// Parses `text`; errors name `where`, line and column. Nesting beyond 200 and duplicate keys are
// refused.
Json parse_json(std::string_view text, const std::string& where);
Json read_json(const fs::path& path);
// Pretty-printed with a trailing newline, atomically.
void write_json(const fs::path& path, const Json& value);

// A typed member; throws naming `where`, the key, the expected type and what was found.
template <class T>
T json_get(const Json& object, const std::string& key, const std::string& where);
template <class T>
T json_get(const Json& object, const std::string& key, T fallback, const std::string& where);

// Every leaf under its dotted key ("sources.0.path"); empty lists and objects are leaves too.
std::map<std::string, Json> flatten_json(const Json& value);

[[noreturn]] void json_missing(const std::string& key, const std::string& where);
[[noreturn]] void json_wrong_type(const Json& value, const std::string& key, const char* expected,
                                  const std::string& where);

namespace detail {
template <class T>
bool json_fits(const Json& value) {
  if constexpr (std::is_same_v<T, bool>)
    return value.is_boolean();
  else if constexpr (std::is_integral_v<T>)
    return value.is_number_integer();
  else if constexpr (std::is_floating_point_v<T>)
    return value.is_number();
  else if constexpr (std::is_same_v<T, std::string>)
    return value.is_string();
  else
    return true;
}
template <class T>
const char* json_type_name() {
  if constexpr (std::is_same_v<T, bool>)
    return "true or false";
  else if constexpr (std::is_integral_v<T>)
    return "an integer";
  else if constexpr (std::is_floating_point_v<T>)
    return "a number";
  else if constexpr (std::is_same_v<T, std::string>)
    return "a string";
  else
    return "another type";
}
}  // namespace detail

template <class T>
T json_get(const Json& object, const std::string& key, const std::string& where) {
  if (!object.is_object() || !object.contains(key)) json_missing(key, where);
  const Json& value = object.at(key);
  if (!detail::json_fits<T>(value)) json_wrong_type(value, key, detail::json_type_name<T>(), where);
  return value.get<T>();
}

template <class T>
T json_get(const Json& object, const std::string& key, T fallback, const std::string& where) {
  if (!object.is_object() || !object.contains(key) || object.at(key).is_null()) return fallback;
  return json_get<T>(object, key, where);
}

}  // namespace gradus
