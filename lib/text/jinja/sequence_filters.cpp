// SPDX-License-Identifier: Apache-2.0
// Filters on sequences and mappings. What Jinja returns as a generator is an iterator here: it has
// no length and can be walked once.
#include <algorithm>

#include "base/error.h"
#include "text/jinja/library.h"
#include "text/jinja/operations.h"
#include "text/jinja/print.h"
#include "text/jinja/text_functions.h"

namespace gradus::jinja {
namespace {

using Path = std::vector<Value>;

bool absent(const Value& value) { return value.missing() || value.is(Kind::kNone); }

Value folded(const Value& value, bool case_sensitive) {
  return case_sensitive ? value : without_case(value);
}

Value filter_length(const Value& input, Arguments& arguments) {
  bind_arguments("length", arguments, {}, 0);
  return Value::integer(require_length(input));
}

Value filter_list(const Value& input, Arguments& arguments) {
  bind_arguments("list", arguments, {}, 0);
  return input.is(Kind::kList) ? input : Value::list(to_items(input));
}

Value filter_first(const Value& input, Arguments& arguments) {
  bind_arguments("first", arguments, {}, 0);
  Value item;
  return iterate(input)(item) ? item : Value::undefined("No first item, sequence was empty.");
}

Value filter_last(const Value& input, Arguments& arguments) {
  bind_arguments("last", arguments, {}, 0);
  if (input.is(Kind::kIterator)) throw Failure("'generator' object is not reversible");
  const std::vector<Value> items = to_items(input);
  return items.empty() ? Value::undefined("No last item, sequence was empty.") : items.back();
}

Value filter_join(const Value& input, Arguments& arguments) {
  const auto bound = bind_arguments("join", arguments, {"d", "attribute"}, 0);
  const Text separator = bound[0].missing() ? Text() : to_text(bound[0]);
  const Path path = attribute_path(bound[1]);
  Text out;
  bool first = true;
  for (const Value& item : to_items(input)) {
    if (!first) out.append(separator);
    first = false;
    out.append(to_text(get_path(item, path)));
  }
  return Value::string(std::move(out));
}

Value filter_reverse(const Value& input, Arguments& arguments) {
  bind_arguments("reverse", arguments, {}, 0);
  if (input.is(Kind::kString)) return slice(input, Value(), Value(), Value::integer(-1));
  if (!iterable(input)) throw Failure("argument must be iterable");
  std::vector<Value> items = to_items(input);
  std::reverse(items.begin(), items.end());
  return input.is(Kind::kIterator) ? Value::list(std::move(items))
                                   : Value::iterator(std::move(items));
}

struct Keyed {
  Value key, item;
};

// Stable in both directions, as sorted(reverse=True) is.
std::vector<Value> sorted(std::vector<Keyed> keyed, bool reverse) {
  spend(keyed.size());
  std::stable_sort(keyed.begin(), keyed.end(), [&](const Keyed& a, const Keyed& b) {
    return reverse ? less(b.key, a.key) : less(a.key, b.key);
  });
  std::vector<Value> items;
  for (Keyed& entry : keyed) items.push_back(std::move(entry.item));
  return items;
}

// One path for each comma-separated part of the attribute.
std::vector<Path> attribute_paths(const Value& attribute) {
  if (!attribute.is(Kind::kString)) return {attribute_path(attribute)};
  std::vector<Path> paths;
  for (const Text& part : split(attribute.text(), ",", -1, Side::kLeft)) {
    paths.push_back(attribute_path(Value::string(part)));
  }
  return paths;
}

Value filter_sort(const Value& input, Arguments& arguments) {
  const auto bound =
      bind_arguments("sort", arguments, {"reverse", "case_sensitive", "attribute"}, 0);
  const std::vector<Path> paths = attribute_paths(bound[2]);
  std::vector<Keyed> keyed;
  for (const Value& item : to_items(input)) {
    std::vector<Value> key;
    for (const Path& path : paths) key.push_back(folded(get_path(item, path), truthy(bound[1])));
    keyed.push_back({Value::list(std::move(key)), item});
  }
  return Value::list(sorted(std::move(keyed), truthy(bound[0])));
}

Value filter_dictsort(const Value& input, Arguments& arguments) {
  const auto bound = bind_arguments("dictsort", arguments, {"case_sensitive", "by", "reverse"}, 0);
  const std::string by = bound[1].missing() ? "key" : require_string(bound[1], "by").bytes;
  if (by != "key" && by != "value")
    throw Failure("You can only sort by either \"key\" or \"value\"");
  require_defined(input);
  if (!input.is(Kind::kDict))
    throw Failure(cat("dictsort needs a mapping, not ", input.type_name()));
  std::vector<Keyed> keyed;
  for (const auto& [key, value] : input.dict_object().entries()) {
    const Value sort_key = folded(by == "key" ? key : value, truthy(bound[0]));
    keyed.push_back({sort_key, Value::tuple({key, value})});
  }
  return Value::list(sorted(std::move(keyed), truthy(bound[2])));
}

Value filter_items(const Value& input, Arguments& arguments) {
  bind_arguments("items", arguments, {}, 0);
  if (input.undefined()) return Value::iterator({});
  if (!input.is(Kind::kDict)) throw Failure("Can only get item pairs from a mapping.");
  std::vector<Value> items;
  for (const auto& [key, value] : input.dict_object().entries()) {
    items.push_back(Value::tuple({key, value}));
  }
  return Value::iterator(std::move(items));
}

Value filter_unique(const Value& input, Arguments& arguments) {
  const auto bound = bind_arguments("unique", arguments, {"case_sensitive", "attribute"}, 0);
  const Path path = attribute_path(bound[1]);
  DictObject seen;
  std::vector<Value> items;
  for (const Value& item : to_items(input)) {
    const Value key = folded(get_path(item, path), truthy(bound[0]));
    if (seen.find(key) != nullptr) continue;
    seen.set(key, Value::none());
    items.push_back(item);
  }
  return Value::iterator(std::move(items));
}

enum class Extreme : uint8_t { kMin, kMax };

template <Extreme extreme>
Value filter_extreme(const Value& input, Arguments& arguments) {
  const auto bound = bind_arguments("min", arguments, {"case_sensitive", "attribute"}, 0);
  const Path path = attribute_path(bound[1]);
  Value best, best_key;
  for (const Value& item : to_items(input)) {
    const Value key = folded(get_path(item, path), truthy(bound[0]));
    const bool better =
        best.missing() || (extreme == Extreme::kMin ? less(key, best_key) : less(best_key, key));
    if (!better) continue;
    best = item;
    best_key = key;
  }
  return best.missing() ? Value::undefined("No aggregated item, sequence was empty.") : best;
}

Value filter_sum(const Value& input, Arguments& arguments) {
  const auto bound = bind_arguments("sum", arguments, {"attribute", "start"}, 0);
  const Path path = attribute_path(bound[0]);
  Value total = bound[1].missing() ? Value::integer(0) : bound[1];
  if (total.is(Kind::kString)) throw Failure("sum() can't sum strings [use ''.join(seq) instead]");
  for (const Value& item : to_items(input)) {
    total = binary(Operator::kAdd, total, get_path(item, path));
  }
  return total;
}

Value filter_batch(const Value& input, Arguments& arguments) {
  const auto bound = bind_arguments("batch", arguments, {"linecount", "fill_with"}, 1);
  const Int count = require_int(bound[0], "linecount");
  std::vector<Value> batches, current;
  const auto flush = [&] {
    batches.push_back(Value::list(std::move(current)));
    current.clear();
  };
  for (const Value& item : to_items(input)) {
    if (static_cast<Int>(current.size()) == count) flush();
    current.push_back(item);
  }
  if (current.empty()) return Value::iterator(std::move(batches));
  if (!absent(bound[1]) && count > Int{kMaxRange}) throw Failure("the batch is too long");
  while (!absent(bound[1]) && static_cast<Int>(current.size()) < count) current.push_back(bound[1]);
  flush();
  return Value::iterator(std::move(batches));
}

Value filter_slice(const Value& input, Arguments& arguments) {
  const auto bound = bind_arguments("slice", arguments, {"slices", "fill_with"}, 1);
  const std::vector<Value> items = to_items(input);
  const Int slices = require_int(bound[0], "slices");
  if (slices == 0) throw Failure("integer division or modulo by zero");
  if (slices > Int{kMaxRange}) throw Failure("too many slices");
  const auto size = static_cast<Int>(items.size());
  std::vector<Value> parts;
  Int begin = 0;
  for (Int i = 0; i < slices; ++i) {
    const bool extra = i < size % slices;
    const Int end = begin + size / slices + (extra ? 1 : 0);
    std::vector<Value> part(items.begin() + static_cast<std::ptrdiff_t>(begin),
                            items.begin() + static_cast<std::ptrdiff_t>(end));
    if (!absent(bound[1]) && !extra) part.push_back(bound[1]);
    parts.push_back(Value::list(std::move(part)));
    begin = end;
  }
  return Value::iterator(std::move(parts));
}

Value group_tuple(const Value& key, std::vector<Value> members) {
  Value group = Value::tuple({key, Value::list(std::move(members))});
  const_cast<ListObject&>(group.list_object()).group = true;
  return group;
}

Value filter_groupby(const Value& input, Arguments& arguments) {
  const auto bound =
      bind_arguments("groupby", arguments, {"attribute", "default", "case_sensitive"}, 1);
  const Path path = attribute_path(bound[0]);
  const auto key_of = [&](const Value& item) {
    const Value key = get_path(item, path);
    return key.undefined() && !absent(bound[1]) ? bound[1] : key;
  };
  std::vector<Keyed> keyed;
  for (const Value& item : to_items(input)) {
    keyed.push_back({folded(key_of(item), truthy(bound[2])), item});
  }
  std::vector<Value> groups, members;
  Value current;
  const auto flush = [&] {
    if (!members.empty()) groups.push_back(group_tuple(key_of(members[0]), members));
    members.clear();
  };
  for (const Value& item : sorted(std::move(keyed), false)) {
    const Value key = folded(key_of(item), truthy(bound[2]));
    if (!members.empty() && !equal(key, current)) flush();
    current = key;
    members.push_back(item);
  }
  flush();
  return Value::list(std::move(groups));
}

constexpr FilterEntry kFilters[] = {
    {"batch", filter_batch},
    {"count", filter_length},
    {"dictsort", filter_dictsort},
    {"first", filter_first},
    {"groupby", filter_groupby},
    {"items", filter_items},
    {"join", filter_join},
    {"last", filter_last},
    {"length", filter_length},
    {"list", filter_list},
    {"max", filter_extreme<Extreme::kMax>},
    {"min", filter_extreme<Extreme::kMin>},
    {"reverse", filter_reverse},
    {"slice", filter_slice},
    {"sort", filter_sort},
    {"sum", filter_sum},
    {"unique", filter_unique},
};

}  // namespace

Filter find_sequence_filter(std::string_view name) {
  return find_filter_in(std::begin(kFilters), std::end(kFilters), name);
}

}  // namespace gradus::jinja
