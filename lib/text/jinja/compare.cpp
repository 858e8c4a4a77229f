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

bool equal_numbers(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) return a.as_int() == b.as_int();
  return a.as_double() == b.as_double();
}

int sign(bool is_less, bool is_greater) { return is_less ? -1 : is_greater ? 1 : 0; }

int order_numbers(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) {
    return sign(a.as_int() < b.as_int(), a.as_int() > b.as_int());
  }
  const double x = a.as_double(), y = b.as_double();
  return std::isnan(x) || std::isnan(y) ? kUnordered : sign(x<y, x> y);
}

std::optional<int> order_items(const std::vector<Value>& a, const std::vector<Value>& b) {
  const size_t common = std::min(a.size(), b.size());
  for (size_t i = 0; i < common; ++i) {
    if (!equal(a[i], b[i])) return order_of(a[i], b[i]);
  }
  return sign(a.size() < b.size(), a.size() > b.size());
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
