// SPDX-License-Identifier: Apache-2.0
// How values look as text: Python's str() and repr(), and the tojson filter as transformers defines
// it (json.dumps with ensure_ascii=False by default). Traced strings stay traced.
#pragma once

#include <optional>
#include <string>

#include "text/jinja/value.h"

namespace gradus::jinja {

std::string int_repr(Int value);
std::string float_repr(double value);
Text repr(const Value& value);
Text ascii_repr(const Value& value);    // Python's ascii()
Text to_text(const Value& value);       // str()
Text pretty_print(const Value& value);  // pprint.pformat()

struct JsonStyle {
  enum class Escape { kControls, kNonAscii };  // ensure_ascii False, True
  enum class Keys { kAsGiven, kSorted };
  Escape escape = Escape::kControls;
  Keys keys = Keys::kAsGiven;
  std::optional<std::string> indent;
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};

// Throws Failure for what JSON cannot hold, Undefined included.
Text to_json(const Value& value, const JsonStyle& style);

}  // namespace gradus::jinja
