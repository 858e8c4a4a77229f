// SPDX-License-Identifier: Apache-2.0
// Where a piece of text can be cut without changing its byte-pair encoding: between two characters
// that stand side by side in no token that merging makes. Then no merge ever crosses the cut, so
// the tokens of the parts are the tokens of the whole. A SentencePiece model, which gets a document
// as one piece, so becomes words: nearly no token goes on behind a word.
#pragma once

#include <bitset>
#include <functional>
#include <string_view>
#include <vector>

#include "text/tokenizer/bpe_merge.h"
#include "text/tokenizer/packed_table.h"

namespace gradus {

class PieceBorders {
 public:
  // `token_text` is what a token's characters are in a piece.
  PieceBorders(const MergeTable& merges,
               const std::function<std::string_view(TokenId)>& token_text);

  // Appends the ends of the parts of a non-empty `text`, valid UTF-8 below 4 GiB.
  void cut(std::string_view text, std::vector<uint32_t>& ends) const;

 private:
  bool joined(char32_t before, char32_t after) const {
    if (before < kAscii && after < kAscii) return ascii_[before * kAscii + after];
    return neighbours_.find(before, after) != PackedTable::kAbsent;
  }

  static constexpr size_t kAscii = 128;
  PackedTable neighbours_;              // code points that some merge joins
  std::bitset<kAscii * kAscii> ascii_;  // the same for most of them
};

}  // namespace gradus
