// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/operations.h"

#include <cmath>

#include "base/error.h"
#include "text/jinja/format.h"
#include "text/jinja/print.h"

namespace gradus::jinja {
namespace {

[[noreturn]] void unsupported(const char* op, const Value& a, const Value& b) {
  require_defined(a);
  require_defined(b);
  throw Failure(cat("unsupported operand type(s) for ", op, ": '", a.type_name(), "' and '",
                    b.type_name(), "'"));
}

[[noreturn]] void overflow() { throw Failure("integer overflow"); }

Int checked_int(Int value) {
  constexpr Int kLimit = Int{1} << 100;
  if (value > kLimit || value < -kLimit) overflow();
  return value;
}

Int power(Int base, Int exponent) {
  Int result = 1;
  for (; exponent > 0; exponent >>= 1) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) overflow();
    if (exponent > 1 && __builtin_mul_overflow(base, base, &base)) overflow();
  }
  return checked_int(result);
}

double float_modulo(double a, double b) {
  if (b == 0) throw Failure("float modulo by zero");
  const double rest = std::fmod(a, b);
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

Value integer_arithmetic(Operator op, Int a, Int b) {
  Int out = 0;
  switch (op) {
    case Operator::kAdd:
      if (__builtin_add_overflow(a, b, &out)) overflow();
      break;
    case Operator::kSubtract:
      if (__builtin_sub_overflow(a, b, &out)) overflow();
      break;
    case Operator::kMultiply:
      if (__builtin_mul_overflow(a, b, &out)) overflow();
      break;
    case Operator::kFloorDivide:
      out = floor_divide(a, b);
      break;
    case Operator::kModulo:
      out = floor_modulo(a, b);
      break;
    case Operator::kDivide:
      if (b == 0) throw Failure("division by zero");
      return Value::real(static_cast<double>(a) / static_cast<double>(b));
    default:
      if (b < 0) return binary(op, Value::real(static_cast<double>(a)), Value::integer(b));
      out = power(a, b);
  }
  return Value::integer(checked_int(out));
}

Value float_power(double a, double b) {
  if (a == 0 && b < 0) throw Failure("0.0 cannot be raised to a negative power");
  const double result = std::pow(a, b);
  if (std::isnan(result) && !std::isnan(a) && !std::isnan(b)) {
    throw Failure("complex numbers are not supported");
  }
  if (std::isinf(result) && !std::isinf(a) && !std::isinf(b)) throw Failure("float overflow");
  return Value::real(result);
}

Value float_arithmetic(Operator op, double a, double b) {
  switch (op) {
    case Operator::kAdd:
      return Value::real(a + b);
    case Operator::kSubtract:
      return Value::real(a - b);
    case Operator::kMultiply:
      return Value::real(a * b);
    case Operator::kModulo:
      return Value::real(float_modulo(a, b));
    case Operator::kPower:
      return float_power(a, b);
    case Operator::kDivide:
      if (b == 0) throw Failure("float division by zero");
      return Value::real(a / b);
    default:
      if (b == 0) throw Failure("float floor division by zero");
      return Value::real(std::floor(a / b));
  }
}

Value add(const Value& a, const Value& b) {
  if (a.is(Kind::kString) && b.is(Kind::kString)) {
    const bool markup = a.text().markup || b.text().markup;
    Text out = markup ? escape_html(a.text()) : a.text();
    out.append(markup ? escape_html(b.text()) : b.text());
    out.markup = markup;
    return Value::string(std::move(out));
  }
  const bool lists = a.is(Kind::kList) && b.is(Kind::kList);
  if (!lists && !(a.is(Kind::kTuple) && b.is(Kind::kTuple))) unsupported("+", a, b);
  spend(a.items().size() + b.items().size());
  std::vector<Value> items = a.items();
  items.insert(items.end(), b.items().begin(), b.items().end());
  return lists ? Value::list(std::move(items)) : Value::tuple(std::move(items));
}

bool repeatable(const Value& value) {
  return value.is(Kind::kString) || value.is(Kind::kList) || value.is(Kind::kTuple);
}

const char* symbol(Operator op) {
  switch (op) {
    case Operator::kAdd:
      return "+";
    case Operator::kSubtract:
      return "-";
    case Operator::kMultiply:
      return "*";
    case Operator::kDivide:
      return "/";
    case Operator::kFloorDivide:
      return "//";
    case Operator::kModulo:
      return "%";
    case Operator::kPower:
      return "** or pow()";
    case Operator::kLess:
      return "<";
    case Operator::kLessEqual:
      return "<=";
    case Operator::kGreater:
      return ">";
    default:
      return ">=";
  }
}

}  // namespace

void require_defined(const Value& value) {
  if (value.undefined()) throw Failure(value.undefined_message());
}

Int require_int(const Value& value, const std::string& what) {
  require_defined(value);
  if (value.is_integral()) return value.as_int();
  throw Failure(cat(what, " must be an integer, not '", value.type_name(), "'"));
}

const Text& require_string(const Value& value, const std::string& what) {
  require_defined(value);
  if (value.is(Kind::kString)) return value.text();
  throw Failure(cat(what, " must be a string, not '", value.type_name(), "'"));
}

Int floor_divide(Int a, Int b) {
  if (b == 0) throw Failure("integer division or modulo by zero");
  const Int quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

Int floor_modulo(Int a, Int b) {
  if (b == 0) throw Failure("integer modulo by zero");
  const Int rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

Value binary(Operator op, const Value& a, const Value& b) {
  if (op == Operator::kModulo && a.is(Kind::kString)) return percent_format(a.text(), b);
  if (a.is_integral() && b.is_integral()) return integer_arithmetic(op, a.as_int(), b.as_int());
  if (a.is_number() && b.is_number()) return float_arithmetic(op, a.as_double(), b.as_double());
  if (op == Operator::kAdd) return add(a, b);
  if (op == Operator::kMultiply) {
    if (repeatable(a) && b.is_integral()) return repeat(a, b.as_int());
    if (repeatable(b) && a.is_integral()) return repeat(b, a.as_int());
  }
  unsupported(symbol(op), a, b);
}

Value repeat(const Value& sequence, Int times) {
  const auto size = static_cast<Int>(sequence.is(Kind::kString) ? sequence.bytes().size()
                                                                : sequence.items().size());
  if (times < 0 || size == 0) times = 0;
  if (times > Int{kMaxTextBytes} / std::max(size, Int{1})) {
    throw Failure("the repeated sequence is too long");
  }
  if (sequence.is(Kind::kString)) {
    Text out;
    out.markup = sequence.text().markup;
    for (Int i = 0; i < times; ++i) out.append(sequence.text());
    return Value::string(std::move(out));
  }
  std::vector<Value> items;
  for (Int i = 0; i < times; ++i) {
    spend(1 + sequence.items().size());
    items.insert(items.end(), sequence.items().begin(), sequence.items().end());
  }
  return sequence.is(Kind::kList) ? Value::list(std::move(items)) : Value::tuple(std::move(items));
}

Value negate(const Value& value) {
  require_defined(value);
  if (value.is(Kind::kFloat)) return Value::real(-value.as_double());
  if (value.is_integral()) return Value::integer(-value.as_int());
  throw Failure(cat("bad operand type for unary -: '", value.type_name(), "'"));
}

Value plus(const Value& value) {
  require_defined(value);
  if (value.is(Kind::kFloat)) return value;
  if (value.is_integral()) return Value::integer(value.as_int());
  throw Failure(cat("bad operand type for unary +: '", value.type_name(), "'"));
}

bool truthy(const Value& value) {
  switch (value.kind()) {
    case Kind::kMissing:
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
    case Kind::kInt:
      return value.as_int() != 0;
    case Kind::kFloat:
      return value.as_double() != 0;
    case Kind::kString:
      return !value.bytes().empty();
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kView:
      return !value.items().empty();
    case Kind::kDict:
      return !value.dict_object().entries().empty();
    case Kind::kRange:
      return value.range_object().size() > 0;
    default:
      return true;
  }
}

bool compare(Operator op, const Value& a, const Value& b) {
  switch (op) {
    case Operator::kEqual:
      return equal(a, b);
    case Operator::kNotEqual:
      return !equal(a, b);
    case Operator::kIn:
      return contains(b, a);
    case Operator::kNotIn:
      return !contains(b, a);
    default:
      break;
  }
  require_defined(a);
  require_defined(b);
  const std::optional<int> order = order_of(a, b);
  if (!order) {
    throw Failure(cat("'", symbol(op), "' not supported between instances of '", a.type_name(),
                      "' and '", b.type_name(), "'"));
  }
  if (*order == kUnordered) return false;
  if (op == Operator::kLess) return *order < 0;
  if (op == Operator::kLessEqual) return *order <= 0;
  return op == Operator::kGreater ? *order > 0 : *order >= 0;
}

bool less(const Value& a, const Value& b) { return compare(Operator::kLess, a, b); }

size_t hash_of(std::string_view text) {
  spend_bytes(text.size());
  return std::hash<std::string_view>{}(text);
}

size_t hash_of(const Value& value) {
  const DepthGuard guard;
  spend(1);
  switch (value.kind()) {
    case Kind::kString:
      return hash_of(value.bytes());
    case Kind::kBool:
    case Kind::kInt:
      return std::hash<double>{}(value.as_double());
    case Kind::kFloat:
      return std::hash<double>{}(value.as_double());
    case Kind::kTuple: {
      size_t hash = value.items().size();
      for (const Value& item : value.items()) hash = hash * 1000003 ^ hash_of(item);
      return hash;
    }
    case Kind::kView:
      if (std::string_view(value.type_name()) == "dict_values")
        return std::hash<const void*>{}(value.object().get());
      [[fallthrough]];
    case Kind::kList:
    case Kind::kDict:
      throw Failure(cat("unhashable type: '", value.type_name(), "'"));
    case Kind::kRange:
      return static_cast<size_t>(value.range_object().size());
    case Kind::kUndefined:
    case Kind::kNone:
      return static_cast<size_t>(value.kind());
    default:
      return std::hash<const void*>{}(value.object().get());
  }
}

}  // namespace gradus::jinja
