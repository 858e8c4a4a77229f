// SPDX-License-Identifier: Apache-2.0
// Equality, order and membership.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "text/jinja/operations.h"

namespace gradus::jinja {
namespace {

bool equal_items(const std::vector<Value>& a, const std::vector<Value>& b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), equal);
}

bool equal_dicts(const DictObject& a, const DictObject& b) {
  if (a.entries().size() != b.entries().size()) return false;
  return std::all_of(a.entries().begin(), a.entries().end(), [&](const auto& entry) {
    const Value* other = b.find(entry.first);
    return other != nullptr && equal(entry.second, *other);
  });
}

bool equal_ranges(const RangeObject& a, const RangeObject& b) {
  const Int size = a.size();
  if (size != b.size()) return false;
  return size == 0 || (a.start == b.start && (size == 1 || a.step == b.step));
}

int sign(bool is_less, bool is_greater) { return is_less ? -1 : is_greater ? 1 : 0; }

// Exact, as Python compares: an integer is not rounded to a float first.
int order_int_and_float(Int a, double b) {
  constexpr double kBeyond = 0x1p126;
  if (std::isnan(b)) return kUnordered;
  if (std::abs(b) >= kBeyond) return b > 0 ? -1 : 1;
  const auto whole = static_cast<Int>(b);
  const double rest = b - static_cast<double>(whole);
  return a != whole ? sign(a<whole, a> whole) : sign(rest > 0, rest < 0);
}

int order_numbers(const Value& a, const Value& b) {
  const bool left = a.is_integral(), right = b.is_integral();
  if (left && right) return sign(a.as_int() < b.as_int(), a.as_int() > b.as_int());
  if (left) return order_int_and_float(a.as_int(), b.as_double());
  if (right) {
    const int order = order_int_and_float(b.as_int(), a.as_double());
    return order == kUnordered ? kUnordered : -order;
  }
  const double x = a.as_double(), y = b.as_double();
  return std::isnan(x) || std::isnan(y) ? kUnordered : sign(x<y, x> y);
}

bool equal_numbers(const Value& a, const Value& b) { return order_numbers(a, b) == 0; }

std::optional<int> order_items(const std::vector<Value>& a, const std::vector<Value>& b) {
  const size_t common = std::min(a.size(), b.size());
  for (size_t i = 0; i < common; ++i) {
    if (!equal(a[i], b[i])) return order_of(a[i], b[i]);
  }
  return sign(a.size() < b.size(), a.size() > b.size());
}

// Keys and pairs are looked up in their dict: what cannot be a key is refused.
void check_hashable_for(const Value& view, const Value& item) {
  const std::string_view type = view.type_name();
  const bool pair = type == "dict_items" && item.is(Kind::kTuple) && item.items().size() == 2;
  if (type == "dict_keys") hash_of(item);
  if (pair) hash_of(item.items()[0]);
}

bool contains_text(const Value& container, const Value& item) {
  require_defined(item);
  if (!item.is(Kind::kString)) {
    throw Failure(cat("'in <string>' requires string as left operand, not ", item.type_name()));
  }
  spend_bytes(container.bytes().size());
  return container.bytes().find(item.bytes()) != std::string::npos;
}

}  // namespace

bool equal(const Value& a, const Value& b) {
  const DepthGuard guard;
  spend(1);
  if (a.is_number() && b.is_number()) return equal_numbers(a, b);
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kString:
      if (a.bytes().size() == b.bytes().size()) spend_bytes(a.bytes().size());
      return a.bytes() == b.bytes();
    case Kind::kList:
    case Kind::kTuple:
      return equal_items(a.items(), b.items());
    case Kind::kDict:
      return equal_dicts(a.dict_object(), b.dict_object());
    case Kind::kRange:
      return equal_ranges(a.range_object(), b.range_object());
    default:
      return a.object() == b.object();
  }
}

bool identical(const Value& a, const Value& b) {
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kNone:
      return true;
    case Kind::kBool:
    case Kind::kInt:
      return a.as_int() == b.as_int();
    case Kind::kFloat:
      return a.as_double() == b.as_double();
    case Kind::kString:
      return a.bytes() == b.bytes();
    default:
      return a.object() == b.object();
  }
}

std::optional<int> order_of(const Value& a, const Value& b) {
  const DepthGuard guard;
  spend(1);
  require_defined(a);
  require_defined(b);
  if (a.is_number() && b.is_number()) return order_numbers(a, b);
  if (a.kind() != b.kind()) return std::nullopt;
  switch (a.kind()) {
    case Kind::kString: {
      spend_bytes(std::min(a.bytes().size(), b.bytes().size()));
      const int order = a.bytes().compare(b.bytes());  // UTF-8 keeps the order of code points
      return sign(order<0, order> 0);
    }
    case Kind::kList:
    case Kind::kTuple:
      return order_items(a.items(), b.items());
    default:
      return std::nullopt;
  }
}

bool contains(const Value& container, const Value& item) {
  if (container.is(Kind::kView)) check_hashable_for(container, item);
  switch (container.kind()) {
    case Kind::kString:
      return contains_text(container, item);
    case Kind::kDict:
      return container.dict_object().find(item) != nullptr;
    default:
      break;
  }
  if (!iterable(container)) {
    throw Failure(cat("argument of type '", container.type_name(), "' is not iterable"));
  }
  const Cursor next = iterate(container);
  for (Value candidate; next(candidate);) {
    if (equal(candidate, item)) return true;
  }
  return false;
}

}  // namespace gradus::jinja
