// SPDX-License-Identifier: Apache-2.0
// Python's str operations on traced texts. Positions are code points where Python's are.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "text/jinja/traced_text.h"
#include "text/jinja/value.h"

namespace gradus::jinja {

enum class Side : uint8_t { kLeft, kRight, kBoth };

// Without the characters of `chars`, or whitespace when it is null.
Text strip(const Text& text, const std::string* chars, Side side);
// At most `limit` splits when it is not negative; kRight splits from the end.
std::vector<Text> split(const Text& text, const std::string& separator, Int limit, Side side);
std::vector<Text> split_whitespace(const Text& text, Int limit, Side side);
enum class LineEnds : uint8_t { kDropped, kKept };
std::vector<Text> split_lines(const Text& text, LineEnds ends);
Text replace(const Text& text, const std::string& from, const Text& to, Int limit);
// `side` is where the padding goes; kBoth centres as str.center does.
Text pad(const Text& text, Int width, const Text& fill, Side side);
Text repeat_text(const Text& text, Int times);

Value list_of(std::vector<Text> texts);

}  // namespace gradus::jinja
