// SPDX-License-Identifier: Apache-2.0
#include "model/formats/gguf_keys.h"

#include <charconv>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace gradus {

double shortest_decimal(double value) {
  const auto narrow = static_cast<float>(value);
  if (static_cast<double>(narrow) != value) return value;
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, narrow).ptr;
  double decimal = value;
  std::from_chars(text, end, decimal);
  return decimal;
}

GgufKeys::GgufKeys(const Json& metadata, const std::string& where)
    : metadata_(metadata),
      where_(where),
      architecture_(json_get<std::string>(metadata, "general.architecture", where)) {}

int64_t GgufKeys::size(const std::string& key) const {
  constexpr uint64_t kMost = std::numeric_limits<int32_t>::max();
  json_get<int64_t>(metadata_, full(key), where_);
  const Json& value = metadata_.at(full(key));
  const bool negative = !value.is_number_unsigned() && value.get<int64_t>() < 0;
  const uint64_t number = negative ? 0 : value.get<uint64_t>();
  if (number < 1 || number > kMost) refuse(key, "is out of range", cat("1 to ", kMost));
  return static_cast<int64_t>(number);
}

double GgufKeys::number(const std::string& key) const {
  const double value = json_get<double>(metadata_, full(key), where_);
  if (!std::isfinite(value)) refuse(key, "is not a finite number");
  return shortest_decimal(value);
}

std::string GgufKeys::text(const std::string& key) const {
  return json_get<std::string>(metadata_, full(key), where_);
}

bool GgufKeys::flag(const std::string& key) const {
  return json_get<bool>(metadata_, full(key), where_);
}

void GgufKeys::refuse(const std::string& key, const std::string& what,
                      const std::string& expected) const {
  const Json value = metadata_.value(full(key), Json());
  throw Error(
      {.what = "key '" + printable(full(key)) + "' " + what,
       .where = where_,
       .expected = expected,
       .found = value.is_structured()
                    ? value.type_name()
                    : printable(value.dump(-1, ' ', false, Json::error_handler_t::replace))});
}

}  // namespace gradus
