// SPDX-License-Identifier: Apache-2.0
// The tests behind `is`.
#include "base/error.h"
#include "text/jinja/library.h"
#include "text/jinja/operations.h"
#include "text/jinja/print.h"

namespace gradus::jinja {
namespace {

struct TestEntry {
  std::string_view name;
  Test test;
};

Value one_argument(const Arguments& arguments) {
  return bind_arguments("the test", arguments, {"other"}, 1)[0];
}

template <Kind kind>
bool test_kind(const Value& value, Arguments&) {
  return value.is(kind);
}

template <Operator op>
bool test_compare(const Value& value, Arguments& arguments) {
  return compare(op, value, one_argument(arguments));
}

bool remainder_is(const Value& value, const Value& divisor, Int wanted) {
  return equal(binary(Operator::kModulo, value, divisor), Value::integer(wanted));
}

template <Int rest>
bool test_parity(const Value& value, Arguments&) {
  return remainder_is(value, Value::integer(2), rest);
}

bool test_divisible(const Value& value, Arguments& arguments) {
  return remainder_is(value, one_argument(arguments), 0);
}

bool test_defined(const Value& value, Arguments&) { return !value.undefined(); }
bool test_number(const Value& value, Arguments&) { return value.is_number(); }
bool test_iterable(const Value& value, Arguments&) { return iterable(value); }
bool test_mapping(const Value& value, Arguments&) { return value.is(Kind::kDict); }

template <bool wanted>
bool test_bool(const Value& value, Arguments&) {
  return value.is(Kind::kBool) && value.as_bool() == wanted;
}

bool test_sequence(const Value& value, Arguments&) {
  return iterable(value) && !value.is(Kind::kView) && !value.is(Kind::kIterator);
}

bool test_callable(const Value& value, Arguments&) {
  return value.undefined() || (value.is(Kind::kHost) && value.host_object().callable());
}

bool string_property(const Value& value, const char* method) {
  Arguments none;
  const Value text = Value::string(to_text(value));
  return truthy(string_method(text, method).host_object().call(none));
}

bool test_lower(const Value& value, Arguments&) { return string_property(value, "islower"); }
bool test_upper(const Value& value, Arguments&) { return string_property(value, "isupper"); }

bool test_sameas(const Value& value, Arguments& arguments) {
  return identical(value, one_argument(arguments));
}

bool test_escaped(const Value& value, Arguments&) {
  return value.is(Kind::kString) && value.text().markup;
}

// Names are looked up in a dict: what cannot be a key is refused.
bool is_name(const Value& value) {
  hash_of(value);
  return value.is(Kind::kString);
}

bool test_filter(const Value& value, Arguments&) {
  return is_name(value) && find_filter(value.bytes()) != nullptr;
}

bool test_test(const Value& value, Arguments&) {
  return is_name(value) && find_test(value.bytes()) != nullptr;
}

constexpr TestEntry kTests[] = {
    {"!=", test_compare<Operator::kNotEqual>},
    {"<", test_compare<Operator::kLess>},
    {"<=", test_compare<Operator::kLessEqual>},
    {"==", test_compare<Operator::kEqual>},
    {">", test_compare<Operator::kGreater>},
    {">=", test_compare<Operator::kGreaterEqual>},
    {"boolean", test_kind<Kind::kBool>},
    {"callable", test_callable},
    {"defined", test_defined},
    {"divisibleby", test_divisible},
    {"eq", test_compare<Operator::kEqual>},
    {"equalto", test_compare<Operator::kEqual>},
    {"escaped", test_escaped},
    {"even", test_parity<0>},
    {"false", test_bool<false>},
    {"filter", test_filter},
    {"float", test_kind<Kind::kFloat>},
    {"ge", test_compare<Operator::kGreaterEqual>},
    {"greaterthan", test_compare<Operator::kGreater>},
    {"gt", test_compare<Operator::kGreater>},
    {"in", test_compare<Operator::kIn>},
    {"integer", test_kind<Kind::kInt>},
    {"iterable", test_iterable},
    {"le", test_compare<Operator::kLessEqual>},
    {"lessthan", test_compare<Operator::kLess>},
    {"lower", test_lower},
    {"lt", test_compare<Operator::kLess>},
    {"mapping", test_mapping},
    {"ne", test_compare<Operator::kNotEqual>},
    {"none", test_kind<Kind::kNone>},
    {"number", test_number},
    {"odd", test_parity<1>},
    {"sameas", test_sameas},
    {"sequence", test_sequence},
    {"string", test_kind<Kind::kString>},
    {"test", test_test},
    {"true", test_bool<true>},
    {"undefined", test_kind<Kind::kUndefined>},
    {"upper", test_upper},
};

}  // namespace

Test find_test(std::string_view name) {
  for (const TestEntry& entry : kTests) {
    if (entry.name == name) return entry.test;
  }
  return nullptr;
}

Test require_test(std::string_view name) {
  if (const Test found = find_test(name)) return found;
  throw Failure(cat("No test named '", printable(name), "'."));
}

}  // namespace gradus::jinja
