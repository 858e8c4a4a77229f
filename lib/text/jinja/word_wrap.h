// SPDX-License-Identifier: Apache-2.0
// Python's textwrap.wrap() as Jinja's wordwrap calls it: tabs and other whitespace stay as they
// are.
#pragma once

#include <vector>

#include "text/jinja/value.h"

namespace gradus::jinja {

struct WordWrap {
  Value width;  // an integer in every sensible call; Python also takes a float until it must cut
  bool break_long_words = true;
  bool split_at_hyphens = true;  // a hyphenated word is several
  bool break_at_hyphens = true;  // a long word is cut behind a hyphen if it has one
};

// The lines of one paragraph, without their ends; they keep their traces.
std::vector<Text> wrap_words(const Text& paragraph, const WordWrap& style);

}  // namespace gradus::jinja
