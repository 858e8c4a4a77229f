// SPDX-License-Identifier: Apache-2.0
// Filters that read, round and show numbers.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "base/error.h"
#include "text/jinja/format.h"
#include "text/jinja/library.h"
#include "text/jinja/operations.h"
#include "text/jinja/print.h"
#include "text/jinja/text_functions.h"

namespace gradus::jinja {
namespace {

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
  if (digits.find('(') != std::string_view::npos) return std::nullopt;  // C's nan(…)
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

// Python's float(value).
double require_float(const Value& value) {
  require_defined(value);
  if (value.is_number()) return value.as_double();
  if (!value.is(Kind::kString)) {
    throw Failure(
        cat("float() argument must be a string or a real number, not '", value.type_name(), "'"));
  }
  const auto parsed = parse_float(value.text());
  if (!parsed) {
    throw Failure(cat("could not convert string to float: ", printable(repr(value).bytes)));
  }
  return *parsed;
}

Value filter_filesizeformat(const Value& input, Arguments& arguments) {
  const bool binary = truthy(bind_arguments("filesizeformat", arguments, {"binary"}, 0)[0]);
  const double bytes = require_float(input);
  const Int base = binary ? 1024 : 1000;
  if (bytes == 1) return Value::string("1 Byte");
  if (bytes < static_cast<double>(base)) {
    if (std::isinf(bytes)) throw Failure("cannot convert float infinity to integer");
    return Value::string(format_float(std::trunc(bytes) + 0.0, {.type = 'f', .precision = 0}) +
                         " Bytes");
  }
  static constexpr std::string_view kPrefixes = "kMGTPEZY";
  Int unit = base * base;
  size_t prefix = 0;
  for (; prefix + 1 < kPrefixes.size() && !less(Value::real(bytes), Value::integer(unit)); ++prefix)
    unit *= base;
  const double size = static_cast<double>(base) * bytes / static_cast<double>(unit);
  std::string name(1, kPrefixes[prefix]);
  if (binary) name = prefix == 0 ? "Ki" : name + "i";
  return Value::string(format_float(size, {.type = 'f', .precision = 1}) + " " + name + "B");
}

constexpr FilterEntry kFilters[] = {
    {"abs", filter_abs},     {"filesizeformat", filter_filesizeformat},
    {"float", filter_float}, {"int", filter_int},
    {"round", filter_round},
};

}  // namespace

Filter find_number_filter(std::string_view name) {
  return find_filter_in(std::begin(kFilters), std::end(kFilters), name);
}

}  // namespace gradus::jinja
