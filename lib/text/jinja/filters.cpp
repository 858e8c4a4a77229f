// SPDX-License-Identifier: Apache-2.0
// The filter table, and the filters that apply other filters and tests or take any value.
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
    {"attr", filter_attr},
    {"d", filter_default},
    {"default", filter_default},
    {"map", filter_map},
    {"reject", filter_select<Keep::kFailing, Subject::kItem>},
    {"rejectattr", filter_select<Keep::kFailing, Subject::kAttribute>},
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
  for (const auto find :
       {find_text_filter, find_html_filter, find_number_filter, find_sequence_filter}) {
    if (const Filter found = find(name)) return found;
  }
  return find_filter_in(std::begin(kFilters), std::end(kFilters), name);
}

Filter require_filter(std::string_view name) {
  if (const Filter found = find_filter(name)) return found;
  throw Failure(cat("No filter named '", printable(name), "'."));
}

}  // namespace gradus::jinja
