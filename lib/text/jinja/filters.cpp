// SPDX-License-Identifier: Apache-2.0
// The filter table, the filters that apply other filters and tests, and those on single values.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "base/error.h"
#include "text/jinja/library.h"
#include "text/jinja/operations.h"
#include "text/jinja/print.h"
#include "text/jinja/text_functions.h"

namespace gradus::jinja {
namespace {

using Path = std::vector<Value>;

bool absent(const Value& value) { return value.missing() || value.is(Kind::kNone); }

Value take_first(Arguments& arguments, const char* missing) {
  if (arguments.positional.empty()) throw Failure(missing);
  Value first = arguments.positional.front();
  arguments.positional.erase(arguments.positional.begin());
  return first;
}

Value map_attribute(const Value& input, const Arguments& arguments) {
  const auto bound = bind_arguments("map", arguments, {"attribute", "default"}, 1);
  const Path path = attribute_path(bound[0]);
  std::vector<Value> out;
  for (const Value& item : to_items(input)) {
    Value found = item;
    for (const Value& part : path) {
      found = get_item(found, part);
      if (found.undefined() && !absent(bound[1])) found = bound[1];
    }
    out.push_back(found);
  }
  return Value::iterator(std::move(out));
}

Value filter_map(const Value& input, Arguments& arguments) {
  if (!truthy(input)) return Value::iterator({});
  if (arguments.positional.empty() && !arguments.named.empty())
    return map_attribute(input, arguments);
  const Value name = take_first(arguments, "map requires a filter argument");
  const Filter filter = require_filter(require_string(name, "the name of a filter").bytes);
  std::vector<Value> out;
  for (const Value& item : to_items(input)) {
    Arguments copy = arguments;
    out.push_back(filter(item, copy));
  }
  return Value::iterator(std::move(out));
}

enum class Keep : uint8_t { kPassing, kFailing };
enum class Subject : uint8_t { kItem, kAttribute };

template <Keep keep, Subject subject>
Value filter_select(const Value& input, Arguments& arguments) {
  if (!truthy(input)) return Value::iterator({});
  Path path;
  if (subject == Subject::kAttribute) {
    path = attribute_path(take_first(arguments, "Missing parameter for attribute name"));
  }
  Test test = nullptr;
  if (!arguments.positional.empty()) {
    const Value name = take_first(arguments, "");
    test = require_test(require_string(name, "the name of a test").bytes);
  }
  std::vector<Value> out;
  for (const Value& item : to_items(input)) {
    const Value value = get_path(item, path);
    Arguments copy = arguments;
    const bool passes = test != nullptr ? test(value, copy) : truthy(value);
    if (passes == (keep == Keep::kPassing)) out.push_back(item);
  }
  return Value::iterator(std::move(out));
}

Value filter_default(const Value& input, Arguments& arguments) {
  const auto bound = bind_arguments("default", arguments, {"default_value", "boolean"}, 0);
  const bool replaced = input.undefined() || (truthy(bound[1]) && !truthy(input));
  if (!replaced) return input;
  return bound[0].missing() ? Value::string("") : bound[0];
}

// The text of a number for Python's int() and float(): trimmed, single underscores dropped.
std::optional<std::string> number_text(const Text& text) {
  const std::string trimmed = strip(text, nullptr, Side::kBoth).bytes;
  std::string out;
  for (size_t i = 0; i < trimmed.size(); ++i) {
    if (trimmed[i] != '_') {
      out += trimmed[i];
      continue;
    }
    const bool between = i > 0 && i + 1 < trimmed.size() &&
                         std::isalnum(trimmed[i - 1] & 0x7F) != 0 &&
                         std::isalnum(trimmed[i + 1] & 0x7F) != 0;
    if (!between) return std::nullopt;
  }
  return out;
}

std::optional<Int> parse_int(const Text& text, Int base) {
  const auto cleaned = number_text(text);
  if (!cleaned) return std::nullopt;
  std::string_view digits = *cleaned;
  const bool negative = digits.starts_with('-');
  if (negative || digits.starts_with('+')) digits.remove_prefix(1);
  const auto marked = [&](char lower) {
    return digits.size() > 2 && digits[0] == '0' && (digits[1] | 0x20) == lower;
  };
  const Int implied = marked('x') ? 16 : marked('o') ? 8 : marked('b') ? 2 : 10;
  if (implied != 10 && (base == 0 || base == implied)) digits.remove_prefix(2);
  if (base == 0) base = implied;
  Int value = 0;
  for (const char c : digits) {
    const Int digit = c >= '0' && c <= '9'                     ? c - '0'
                      : (c | 0x20) >= 'a' && (c | 0x20) <= 'z' ? (c | 0x20) - 'a' + 10
                                                               : Int{99};
    if (digit >= base) return std::nullopt;
    value = value * base + digit;
    if (value > Int{1} << 96) throw Failure("integer overflow");
  }
  if (digits.empty()) return std::nullopt;
  return negative ? -value : value;
}

std::optional<double> parse_float(const Text& text) {
  const auto cleaned = number_text(text);
  if (!cleaned) return std::nullopt;
  std::string_view digits = *cleaned;
  if (digits.starts_with('+')) digits.remove_prefix(1);
  if (digits.starts_with("-+") || digits.starts_with('+')) return std::nullopt;
  double value = 0;
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (result.ptr != digits.data() + digits.size() || digits.empty()) return std::nullopt;
  if (result.ec == std::errc::result_out_of_range) value = std::strtod(cleaned->c_str(), nullptr);
  return value;
}

std::optional<Int> truncated(double value) {
  if (std::isnan(value)) return std::nullopt;
  if (std::abs(value) > 1e28) throw Failure("cannot convert float infinity to integer");
  return static_cast<Int>(value);
}

Value filter_int(const Value& input, Arguments& arguments) {
  const auto bound = bind_arguments("int", arguments, {"default", "base"}, 0);
  require_defined(input);
  const Value fallback = bound[0].missing() ? Value::integer(0) : bound[0];
  std::optional<Int> value;
  if (input.is_integral()) {
    value = input.as_int();
  } else if (input.is(Kind::kFloat)) {
    value = truncated(input.as_double());
  } else if (input.is(Kind::kString)) {
    value = parse_int(input.text(), bound[1].missing() ? 10 : require_int(bound[1], "base"));
    const auto real = value ? std::nullopt : parse_float(input.text());
    if (real && std::isfinite(*real)) value = truncated(*real);
  }
  return value ? Value::integer(*value) : fallback;
}

Value filter_float(const Value& input, Arguments& arguments) {
  const auto bound = bind_arguments("float", arguments, {"default"}, 0);
  require_defined(input);
  if (input.is_number()) return Value::real(input.as_double());
  if (input.is(Kind::kString)) {
    if (const auto value = parse_float(input.text())) return Value::real(*value);
  }
  return bound[0].missing() ? Value::real(0) : bound[0];
}

Value filter_abs(const Value& input, Arguments& arguments) {
  bind_arguments("abs", arguments, {}, 0);
  require_defined(input);
  if (!input.is_number())
    throw Failure(cat("bad operand type for abs(): '", input.type_name(), "'"));
  const bool negative =
      input.is(Kind::kFloat) ? std::signbit(input.as_double()) : input.as_int() < 0;
  return negative ? negate(input) : plus(input);
}

// Correctly rounded, halves to even, as Python's round() of a double.
double rounded(double value, int digits) {
  if (!std::isfinite(value)) return value;
  if (digits < 0) {
    const double unit = std::pow(10.0, -digits);
    return std::nearbyint(value / unit) * unit;
  }
  char buffer[400];
  std::snprintf(buffer, sizeof buffer, "%.*f", std::min(digits, 60), value);
  return std::strtod(buffer, nullptr);
}

Value rounded_int(Int value, int digits) {
  if (digits >= 0) return Value::integer(value);
  Int unit = 1;
  for (int i = 0; i < std::min(-digits, 28); ++i) unit *= 10;
  Int quotient = floor_divide(value, unit);
  const Int twice = 2 * floor_modulo(value, unit);
  if (twice > unit || (twice == unit && quotient % 2 != 0)) ++quotient;
  return Value::integer(quotient * unit);
}

Value filter_round(const Value& input, Arguments& arguments) {
  const auto bound = bind_arguments("round", arguments, {"precision", "method"}, 0);
  const Int precision = bound[0].missing() ? 0 : require_int(bound[0], "precision");
  const auto digits = static_cast<int>(std::clamp(precision, Int{-400}, Int{400}));
  const std::string method =
      bound[1].missing() ? "common" : require_string(bound[1], "method").bytes;
  require_defined(input);
  if (!input.is_number())
    throw Failure(cat("type ", input.type_name(), " doesn't define __round__ method"));
  if (method == "common") {
    return input.is(Kind::kFloat) ? Value::real(rounded(input.as_double(), digits))
                                  : rounded_int(input.as_int(), digits);
  }
  if (method != "ceil" && method != "floor") throw Failure("method must be common, ceil or floor");
  const double scale = std::pow(10.0, digits);
  const double scaled = input.as_double() * scale;
  return Value::real((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale);
}

std::string indent_text(const Value& indent) {
  if (indent.is(Kind::kString)) return indent.bytes();
  const Int width = std::clamp(require_int(indent, "indent"), Int{0}, Int{1000});
  return std::string(static_cast<size_t>(width), ' ');
}

Value filter_tojson(const Value& input, Arguments& arguments) {
  const auto bound =
      bind_arguments("tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"}, 0);
  JsonStyle style;
  if (truthy(bound[0])) style.escape = JsonStyle::Escape::kNonAscii;
  if (truthy(bound[3])) style.keys = JsonStyle::Keys::kSorted;
  if (!absent(bound[1])) {
    style.indent = indent_text(bound[1]);
    style.item_separator = ",";
  }
  if (!absent(bound[2])) {
    const std::vector<Value> separators = to_items(bound[2]);
    if (separators.size() != 2) throw Failure("separators must be a pair of strings");
    style.item_separator = require_string(separators[0], "a separator").bytes;
    style.key_separator = require_string(separators[1], "a separator").bytes;
  }
  return Value::string(to_json(input, style));
}

Value filter_attr(const Value& input, Arguments& arguments) {
  const Value name = bind_arguments("attr", arguments, {"name"}, 1)[0];
  const std::string& attribute = require_string(name, "the name of an attribute").bytes;
  const bool item = input.is(Kind::kDict) && input.dict_object().find(name) != nullptr;
  Value found = get_attribute(input, attribute);
  if (!item || found.is(Kind::kHost)) return found;
  return Value::undefined(cat("'dict object' has no attribute '", printable(attribute), "'"));
}

constexpr FilterEntry kFilters[] = {
    {"abs", filter_abs},
    {"attr", filter_attr},
    {"d", filter_default},
    {"default", filter_default},
    {"float", filter_float},
    {"int", filter_int},
    {"map", filter_map},
    {"reject", filter_select<Keep::kFailing, Subject::kItem>},
    {"rejectattr", filter_select<Keep::kFailing, Subject::kAttribute>},
    {"round", filter_round},
    {"select", filter_select<Keep::kPassing, Subject::kItem>},
    {"selectattr", filter_select<Keep::kPassing, Subject::kAttribute>},
    {"tojson", filter_tojson},
};

}  // namespace

Filter find_filter_in(const FilterEntry* begin, const FilterEntry* end, std::string_view name) {
  const auto found =
      std::find_if(begin, end, [&](const FilterEntry& entry) { return entry.name == name; });
  return found == end ? nullptr : found->filter;
}

Filter find_filter(std::string_view name) {
  for (const auto find : {find_text_filter, find_sequence_filter}) {
    if (const Filter found = find(name)) return found;
  }
  return find_filter_in(std::begin(kFilters), std::end(kFilters), name);
}

Filter require_filter(std::string_view name) {
  if (const Filter found = find_filter(name)) return found;
  throw Failure(cat("No filter named '", printable(name), "'."));
}

}  // namespace gradus::jinja
