// SPDX-License-Identifier: Apache-2.0
// A text cut into pieces, and the ways in which a pattern cuts a piece.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "text/tokenizer/aligned_text.h"

namespace gradus {

struct PieceRange {
  size_t begin = 0, end = 0;
};

// Ascending, non-empty, disjoint ranges of `text`; what lies between them was removed.
struct Pieces {
  AlignedText text = {};
  std::vector<PieceRange> ranges = {};
};

// A part of a searched text. The matches of one search cover it without gaps.
struct Match {
  size_t begin = 0, end = 0;
  bool matched = false;
};

// Finds all parts of `text` that match or do not match, in order. Must be thread-safe.
using Matcher = std::function<void(std::string_view text, std::vector<Match>& found)>;

Matcher match_literal(const std::string& literal);
Matcher match_code_points(bool (*predicate)(char32_t));
// Regular expressions in Oniguruma's syntax; throws gradus::Error naming `where`.
Matcher match_regex(const std::string& pattern, const std::string& where);
// The same for bytes, as if they were the characters that ByteLevel writes for them.
Matcher match_byte_chars(bool (*predicate)(char32_t));
Matcher on_byte_chars(Matcher matcher);

// What a split does with the matches, as in the `tokenizers` package.
enum class SplitBehavior {
  kRemoved,
  kIsolated,
  kMergedWithPrevious,
  kMergedWithNext,
  kContiguous,
};

struct Splitter {
  Matcher matcher = {};
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool invert = false;  // the parts that do not match are the delimiters
};

// The parts that a text is cut into, none of them empty.
void find_parts(const Splitter& splitter, std::string_view text, std::vector<Match>& parts);
void split_pieces(Pieces& pieces, const Splitter& splitter);

}  // namespace gradus
