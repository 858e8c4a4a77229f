// SPDX-License-Identifier: Apache-2.0
// The attributes and methods of Python's int and float, but for those on bytes and those that make
// a number from a text.
#include <cmath>
#include <cstdio>

#include "text/jinja/library.h"
#include "text/jinja/operations.h"
#include "text/jinja/print.h"

namespace gradus::jinja {
namespace {

using Method = Value (*)(const Value& self);

struct MethodEntry {
  std::string_view name;
  Method method;
};

unsigned __int128 magnitude(const Value& self) {
  const Int value = self.as_int();
  return value < 0 ? -static_cast<unsigned __int128>(value) : static_cast<unsigned __int128>(value);
}

Value bit_length(const Value& self) {
  Int bits = 0;
  for (auto rest = magnitude(self); rest != 0; rest >>= 1) ++bits;
  return Value::integer(bits);
}

Value bit_count(const Value& self) {
  Int bits = 0;
  for (auto rest = magnitude(self); rest != 0; rest >>= 1) bits += static_cast<Int>(rest & 1);
  return Value::integer(bits);
}

Value int_ratio(const Value& self) { return Value::tuple({plus(self), Value::integer(1)}); }

Value power_of_two(int exponent) {
  return binary(Operator::kPower, Value::integer(2), Value::integer(exponent));
}

Value float_ratio(const Value& self) {
  const double value = self.as_double();
  if (std::isnan(value)) throw Failure("cannot convert NaN to integer ratio");
  if (std::isinf(value)) throw Failure("cannot convert Infinity to integer ratio");
  int exponent = 0;
  double mantissa = std::frexp(value, &exponent);
  for (; mantissa != std::floor(mantissa); --exponent) mantissa *= 2;
  const Value digits = Value::integer(static_cast<Int>(mantissa));
  if (value == 0) return Value::tuple({digits, Value::integer(1)});
  if (exponent < 0) return Value::tuple({digits, power_of_two(-exponent)});
  return Value::tuple(
      {binary(Operator::kMultiply, digits, power_of_two(exponent)), Value::integer(1)});
}

Value is_integer(const Value& self) {
  const double value = self.as_double();
  return Value::boolean(std::isfinite(value) && std::floor(value) == value);
}

Value float_hex(const Value& self) {
  const double value = self.as_double();
  if (!std::isfinite(value)) return Value::string(float_repr(value));
  if (value == 0) return Value::string(std::signbit(value) ? "-0x0.0p+0" : "0x0.0p+0");
  char buffer[40];
  std::snprintf(buffer, sizeof buffer, "%.13a", value);
  return Value::string(buffer);
}

// int.is_integer is of Python 3.12.
constexpr MethodEntry kIntMethods[] = {
    {"as_integer_ratio", int_ratio},
    {"bit_count", bit_count},
    {"bit_length", bit_length},
    {"conjugate", plus},
    {"is_integer", [](const Value&) { return Value::boolean(true); }},
};

constexpr MethodEntry kFloatMethods[] = {
    {"as_integer_ratio", float_ratio},
    {"conjugate", plus},
    {"hex", float_hex},
    {"is_integer", is_integer},
};

template <size_t n>
Value bound_method(const MethodEntry (&methods)[n], const Value& self, std::string_view name) {
  for (const MethodEntry& entry : methods) {
    if (entry.name != name) continue;
    return make_function(std::string(name),
                         [self, method = entry.method, function = std::string(name)](Arguments& a) {
                           bind_arguments(function, a, {}, 0);
                           return method(self);
                         });
  }
  return {};
}

}  // namespace

Value number_attribute(const Value& self, std::string_view name) {
  const bool real = self.is(Kind::kFloat);
  if (name == "real" || (name == "numerator" && !real)) return plus(self);
  if (name == "imag") return real ? Value::real(0) : Value::integer(0);
  if (name == "denominator" && !real) return Value::integer(1);
  return real ? bound_method(kFloatMethods, self, name) : bound_method(kIntMethods, self, name);
}

}  // namespace gradus::jinja
