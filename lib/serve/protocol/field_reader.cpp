// SPDX-License-Identifier: Apache-2.0
#include "serve/protocol/field_reader.h"

#include <algorithm>

#include "base/error.h"
#include "serve/protocol/api_error.h"

namespace gradus {

std::string shown(const Json& value) {
  if (value.is_array()) return cat("an array of ", value.size());
  if (value.is_object()) return "an object";
  return printable(value.dump(-1, ' ', false, Json::error_handler_t::replace), 60);
}

FieldReader::FieldReader(const Json& object, std::string where)
    : object_(object), where_(std::move(where)) {
  if (object.is_object()) return;
  const std::string name = where_.empty() ? "the request" : where_;
  throw ApiError({.message = name + " must be a JSON object", .param = where_});
}

std::string FieldReader::full_name(const std::string& name) const {
  return where_.empty() ? name : where_ + "." + name;
}

const Json* FieldReader::take(const std::string& name) {
  known_.push_back(name);
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

const Json& FieldReader::require(const std::string& name) {
  if (const Json* value = take(name)) return *value;
  throw bad_field(full_name(name), "is required");
}

std::optional<double> FieldReader::number(const std::string& name, Range range) {
  const Json* value = take(name);
  if (!value) return std::nullopt;
  const bool fits =
      value->is_number() && value->get<double>() >= range.low && value->get<double>() <= range.high;
  if (!fits)
    throw bad_field(full_name(name), cat("must be a number from ", range.low, " to ", range.high,
                                         ", found ", shown(*value)));
  return value->get<double>();
}

std::optional<int64_t> FieldReader::integer(const std::string& name, Range range) {
  const Json* value = take(name);
  if (!value) return std::nullopt;
  const bool fits = value->is_number_integer() && value->get<double>() >= range.low &&
                    value->get<double>() <= range.high;
  if (!fits)
    throw bad_field(full_name(name),
                    cat("must be an integer from ", static_cast<int64_t>(range.low), " to ",
                        static_cast<int64_t>(range.high), ", found ", shown(*value)));
  return value->get<int64_t>();
}

std::optional<bool> FieldReader::boolean(const std::string& name) {
  const Json* value = take(name);
  if (!value) return std::nullopt;
  if (!value->is_boolean())
    throw bad_field(full_name(name), "must be true or false, found " + shown(*value));
  return value->get<bool>();
}

std::optional<std::string> FieldReader::text(const std::string& name) {
  const Json* value = take(name);
  if (!value) return std::nullopt;
  if (!value->is_string())
    throw bad_field(full_name(name), "must be a string, found " + shown(*value));
  return value->get<std::string>();
}

void FieldReader::supports_only(const std::string& name, const std::vector<Json>& values) {
  const Json* value = take(name);
  if (!value || std::find(values.begin(), values.end(), *value) != values.end()) return;
  throw ApiError({.message = full_name(name) + ": this server does not support " + shown(*value),
                  .param = full_name(name),
                  .code = "unsupported_value"});
}

void FieldReader::finish() const {
  for (const auto& [name, value] : object_.items()) {
    if (std::find(known_.begin(), known_.end(), name) != known_.end()) continue;
    const std::string near = nearest_name(name, known_);
    const std::string hint = near.empty() ? "" : " (did you mean " + near + "?)";
    const std::string field = printable(full_name(name));
    throw ApiError({.message = "unknown field '" + field + "'" + hint,
                    .param = field,
                    .code = "unknown_parameter"});
  }
}

}  // namespace gradus
