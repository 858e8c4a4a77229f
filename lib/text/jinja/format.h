// SPDX-License-Identifier: Apache-2.0
// Python's two ways of formatting: "%s" % values and "{}".format(…).
#pragma once

#include <string>

#include "text/jinja/value.h"

namespace gradus::jinja {

// `values` is a tuple, a dict for %(name)s, or a single value. A string.
Value percent_format(const Text& format, const Value& values);
// Fields may look into attributes and items, under the sandbox's rules.
Text brace_format(const Text& format, const Arguments& arguments);
// format(value, spec) of Python for strings and numbers.
Text format_value(const Value& value, const std::string& spec);

// A conversion of a number; shared by both ways.
struct NumberFormat {
  char type = 'g';  // one of d b o x X e E f F g G %
  char sign = '-';  // '-', '+' or ' '
  bool alternate = false;
  int precision = -1;
};
std::string format_int(Int value, const NumberFormat& format);
std::string format_float(double value, const NumberFormat& format);

}  // namespace gradus::jinja
