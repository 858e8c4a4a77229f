// SPDX-License-Identifier: Apache-2.0
// Length, iteration, subscripts and slices.
#include <algorithm>

#include "base/error.h"
#include "text/jinja/operations.h"
#include "text/jinja/print.h"

namespace gradus::jinja {
namespace {

Cursor iterate_items(const Value& value) {
  return [value, i = size_t{0}](Value& item) mutable {
    if (i >= value.items().size()) return false;
    item = value.items()[i++];
    return true;
  };
}

Cursor iterate_vector(std::vector<Value> items) {
  return iterate_items(Value::list(std::move(items)));
}

Cursor iterate_keys(const Value& value) {
  return [value, i = size_t{0}](Value& item) mutable {
    const auto& entries = value.dict_object().entries();
    if (i >= entries.size()) return false;
    item = entries[i++].first;
    return true;
  };
}

Cursor iterate_range(const Value& value) {
  return [value, i = Int{0}](Value& item) mutable {
    const RangeObject& range = value.range_object();
    if (i >= range.size()) return false;
    item = Value::integer(range.start + range.step * i++);
    return true;
  };
}

Cursor iterate_iterator(const Value& value) {
  return [value](Value& item) {
    IteratorObject& iterator = value.iterator_object();
    if (iterator.next >= iterator.items.size()) return false;
    item = iterator.items[iterator.next++];
    return true;
  };
}

// Python's index: negative counts from the end; nullopt out of range.
std::optional<size_t> position(const Value& key, Int size) {
  if (!key.is_integral()) return std::nullopt;
  const Int index = key.as_int() < 0 ? key.as_int() + size : key.as_int();
  if (index < 0 || index >= size) return std::nullopt;
  return static_cast<size_t>(index);
}

Value character_at(const Text& text, const Value& key) {
  spend_bytes(text.bytes.size());
  if (is_ascii(text.bytes)) {
    const auto at = position(key, static_cast<Int>(text.bytes.size()));
    return at ? Value::string(text.slice(*at, *at + 1)) : Value();
  }
  const std::vector<size_t> offsets = code_point_offsets(text.bytes);
  const auto at = position(key, static_cast<Int>(offsets.size() - 1));
  return at ? Value::string(text.slice(offsets[*at], offsets[*at + 1])) : Value();
}

struct SliceRange {
  Int start, stop, count, step;
};

Int slice_bound(const Value& value, const char* which) {
  const bool wanted = value.is_integral();
  if (!wanted) {
    require_defined(value);
    throw Failure(
        cat("slice indices must be integers or None, not '", value.type_name(), "' for ", which));
  }
  constexpr Int kFar = Int{1} << 62;
  return std::clamp(value.as_int(), -kFar, kFar);
}

bool open(const Value& value) { return value.missing() || value.is(Kind::kNone); }

// slice.indices() of CPython.
SliceRange resolve(const Value& start, const Value& stop, const Value& step, Int size) {
  const Int by = open(step) ? 1 : slice_bound(step, "step");
  if (by == 0) throw Failure("slice step cannot be zero");
  const Int low = by > 0 ? 0 : -1;
  const Int high = by > 0 ? size : size - 1;
  const auto clamped = [&](const Value& value, const char* which, Int fallback) {
    if (open(value)) return fallback;
    const Int index = slice_bound(value, which);
    return std::clamp(index < 0 ? index + size : index, low, high);
  };
  const Int first = clamped(start, "start", by > 0 ? low : high);
  const Int last = clamped(stop, "stop", by > 0 ? high : low);
  const Int distance = by > 0 ? last - first : first - last;
  const Int stride = by > 0 ? by : -by;
  return {first, last, distance > 0 ? (distance - 1) / stride + 1 : 0, by};
}

Text slice_resolved(const Text& text, SliceRange range, const std::vector<size_t>& offsets) {
  const auto at = [&](Int i) { return offsets[static_cast<size_t>(i)]; };
  if (range.step == 1) return text.slice(at(range.start), at(range.start + range.count));
  Text out;
  out.markup = text.markup;
  for (Int i = 0; i < range.count; ++i) {
    const Int from = range.start + i * range.step;
    out.append(text, at(from), at(from + 1));
  }
  return out;
}

Value slice_string(const Value& value, const Value& start, const Value& stop, const Value& step) {
  spend_bytes(value.bytes().size());
  const std::vector<size_t> offsets = code_point_offsets(value.bytes());
  const SliceRange range = resolve(start, stop, step, static_cast<Int>(offsets.size() - 1));
  return Value::string(slice_resolved(value.text(), range, offsets));
}

}  // namespace

std::optional<Int> length_of(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return 0;
    case Kind::kString:
      spend_bytes(value.bytes().size());
      return static_cast<Int>(count_code_points(value.bytes()));
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kView:
      return static_cast<Int>(value.items().size());
    case Kind::kDict:
      return static_cast<Int>(value.dict_object().entries().size());
    case Kind::kRange:
      return value.range_object().size();
    case Kind::kHost: {
      const Value length = value.host_object().attribute("length");
      return length.is(Kind::kInt) ? std::optional<Int>(length.as_int()) : std::nullopt;
    }
    default:
      return std::nullopt;
  }
}

Int require_length(const Value& value) {
  if (const auto length = length_of(value)) return *length;
  throw Failure(cat("object of type '", value.type_name(), "' has no len()"));
}

bool iterable(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kString:
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kDict:
    case Kind::kRange:
    case Kind::kView:
    case Kind::kIterator:
      return true;
    default:
      return false;
  }
}

Cursor iterate(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return [](Value&) { return false; };
    case Kind::kString:
      return iterate_vector(characters(value.text()));
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kView:
      return iterate_items(value);
    case Kind::kDict:
      return iterate_keys(value);
    case Kind::kRange:
      return iterate_range(value);
    case Kind::kIterator:
      return iterate_iterator(value);
    default:
      throw Failure(cat("'", value.type_name(), "' object is not iterable"));
  }
}

std::vector<Value> to_items(const Value& value) {
  if (value.is(Kind::kList) || value.is(Kind::kTuple) || value.is(Kind::kView)) {
    spend(value.items().size());
    return value.items();
  }
  std::vector<Value> items;
  const Cursor next = iterate(value);
  for (Value item; next(item);) {
    spend(1);
    items.push_back(item);
  }
  return items;
}

std::vector<Value> characters(const Text& text) {
  std::vector<Value> out;
  const std::vector<size_t> offsets = code_point_offsets(text.bytes);
  for (size_t i = 0; i + 1 < offsets.size(); ++i) {
    spend(1);
    Text character = text.slice(offsets[i], offsets[i + 1]);
    character.markup = false;  // iterating a Markup gives plain strings
    out.push_back(Value::string(std::move(character)));
  }
  return out;
}

Value subscript(const Value& value, const Value& key) {
  switch (value.kind()) {
    case Kind::kUndefined:
      throw Failure(value.undefined_message());
    case Kind::kString:
      return character_at(value.text(), key);
    case Kind::kList:
    case Kind::kTuple: {
      const auto at = position(key, static_cast<Int>(value.items().size()));
      return at ? value.items()[*at] : Value();
    }
    case Kind::kRange: {
      const RangeObject& range = value.range_object();
      const auto at = position(key, range.size());
      return at ? Value::integer(range.start + range.step * static_cast<Int>(*at)) : Value();
    }
    case Kind::kDict: {
      if (key.is(Kind::kList) || key.is(Kind::kDict)) return {};
      const Value* found = value.dict_object().find(key);
      return found != nullptr ? *found : Value();
    }
    default:
      return {};
  }
}

Value slice(const Value& value, const Value& start, const Value& stop, const Value& step) {
  require_defined(value);
  if (value.is(Kind::kString)) return slice_string(value, start, stop, step);
  if (value.is(Kind::kRange)) {
    const RangeObject& range = value.range_object();
    const SliceRange part = resolve(start, stop, step, range.size());
    const Int first = range.start + part.start * range.step;
    const Int by = range.step * part.step;
    return Value::range(first, range.start + part.stop * range.step, by);
  }
  if (!value.is(Kind::kList) && !value.is(Kind::kTuple)) return {};
  const auto size = static_cast<Int>(value.items().size());
  const SliceRange range = resolve(start, stop, step, size);
  std::vector<Value> items;
  spend(static_cast<uint64_t>(range.count));
  for (Int i = 0; i < range.count; ++i) {
    items.push_back(value.items()[static_cast<size_t>(range.start + i * range.step)]);
  }
  return value.is(Kind::kList) ? Value::list(std::move(items)) : Value::tuple(std::move(items));
}

std::pair<Int, Int> clamp_range(const Value& start, const Value& stop, Int length) {
  const SliceRange range = resolve(start, stop, Value(), length);
  const Int end = open(stop) ? length : slice_bound(stop, "stop");
  return {range.start, std::clamp(end < 0 ? end + length : end, Int{0}, length)};
}

}  // namespace gradus::jinja
