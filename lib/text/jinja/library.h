// SPDX-License-Identifier: Apache-2.0
// What templates can call: filters, tests, methods of values, and global functions. Each is one
// entry of an explicit table (filters.cpp, tests.cpp, string_methods.cpp, …).
#pragma once

#include <string_view>

#include "text/jinja/value.h"

namespace gradus::jinja {

using Filter = Value (*)(const Value& input, Arguments& arguments);
using Test = bool (*)(const Value& input, Arguments& arguments);

struct FilterEntry {
  std::string_view name;
  Filter filter;
};

Filter find_filter(std::string_view name);  // null when there is none
Test find_test(std::string_view name);
// Throw Failure for unknown names; used by map, select and their kin.
Filter require_filter(std::string_view name);
Test require_test(std::string_view name);

// The pieces of the filter table.
Filter find_text_filter(std::string_view name);
Filter find_html_filter(std::string_view name);
Filter find_number_filter(std::string_view name);
Filter find_sequence_filter(std::string_view name);
Filter find_filter_in(const FilterEntry* begin, const FilterEntry* end, std::string_view name);

// obj.name and obj[key] as Jinja's sandbox resolves them; an Undefined when there is nothing or
// when the sandbox forbids it.
Value get_attribute(const Value& object, const std::string& name);
Value get_item(const Value& object, const Value& key);
// A path such as "function.name" or 0, as filters take it.
std::vector<Value> attribute_path(const Value& path);
Value get_path(Value object, const std::vector<Value>& path);

// A bound method; missing when str has no such method.
Value string_method(const Value& self, std::string_view name);

// A bound method or an attribute of an int, bool or float; missing when Python has none.
Value number_attribute(const Value& self, std::string_view name);

// Strings in lower case, everything else as it is: how sort, unique, min and max compare.
Value without_case(const Value& value);

}  // namespace gradus::jinja
