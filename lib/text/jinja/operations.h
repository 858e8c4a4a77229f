// SPDX-License-Identifier: Apache-2.0
// Python's operators on template values, with Jinja's treatment of Undefined. Everything throws
// Failure with Python's message when the operands do not fit.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "text/jinja/value.h"

namespace gradus::jinja {

enum class Operator : uint8_t {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn,
  kNot,
  kNegate,
  kPlus,
};

bool truthy(const Value& value);
bool equal(const Value& a, const Value& b);
bool identical(const Value& a, const Value& b);  // Python's `is`
// <0, 0, >0 as Python orders numbers, strings, lists and tuples; kUnordered with a NaN; nullopt
// when the types have no order.
inline constexpr int kUnordered = 2;
std::optional<int> order_of(const Value& a, const Value& b);
bool less(const Value& a, const Value& b);                  // refuses mixed types as Python does
bool compare(Operator op, const Value& a, const Value& b);  // the ordering operators and in
bool contains(const Value& container, const Value& item);
size_t hash_of(const Value& value);
size_t hash_of(std::string_view text);

Value binary(Operator op, const Value& a, const Value& b);
Value negate(const Value& value);
Value plus(const Value& value);
Value repeat(const Value& sequence, Int times);
Int floor_divide(Int a, Int b);
Int floor_modulo(Int a, Int b);

// len(); nullopt when the value has none.
std::optional<Int> length_of(const Value& value);
Int require_length(const Value& value);

bool iterable(const Value& value);
// Pulls one item per call, false at the end. Iterators are consumed, everything else is not.
using Cursor = std::function<bool(Value&)>;
Cursor iterate(const Value& value);
std::vector<Value> to_items(const Value& value);
std::vector<Value> characters(const Text& text);

// value[key] by Python's rules: missing when there is no such item or the type has no items.
Value subscript(const Value& value, const Value& key);
Value slice(const Value& value, const Value& start, const Value& stop, const Value& step);
// Python's index clamping of [start:stop] for a length; none or missing means open.
std::pair<Int, Int> clamp_range(const Value& start, const Value& stop, Int length);

// Refuses an Undefined with its message.
void require_defined(const Value& value);
// The integer of an argument; `what` names it in the error.
Int require_int(const Value& value, const std::string& what);
const Text& require_string(const Value& value, const std::string& what);

}  // namespace gradus::jinja
