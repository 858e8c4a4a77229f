// SPDX-License-Identifier: Apache-2.0
// Byte-level BPE in linear time, with the same tokens as merging by rank.
//
// Three facts make it exact. (1) The tokens of a text, cut anywhere between two of them, are also
// the tokens of each part. (2) Tokens that each encode to themselves, and of which every two
// neighbours encode to themselves, are the tokens of their text: the first merge across a border
// would also happen in the text of those two alone. (3) A token is only ever made by one pair, the
// last one when the token itself is encoded. So the tokens can be found from left to right, longest
// match first with backtracking, if the two neighbours can be checked quickly; that undoes the
// merges of both, latest first, and looks for a pair across the border that would have been
// earlier. Needs ranks that grow from parts to wholes, as training makes them; other tables are
// refused. Source of the idea: the `bpe` crate, github.com/github/rust-gems.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer/bpe_merge.h"
#include "text/tokenizer/packed_table.h"

namespace gradus {

class ByteBpe {
 public:
  // The bytes of each token (empty: no token of this kind), the token of each byte (-1: none, as
  // Falcon has none for bytes that UTF-8 never uses), the merges.
  ByteBpe(const std::function<std::string(TokenId)>& token_bytes, TokenId end_id,
          const std::array<TokenId, 256>& byte_ids, const MergeTable& merges);

  // False when the vocabulary is not of the kind that this works for.
  bool usable() const { return usable_; }
  // Whether the bytes of a token are this token when they are encoded.
  bool makes(TokenId id) const { return origins_[static_cast<size_t>(id)].rank != kNoRank; }
  // Appends the tokens of a non-empty piece of valid UTF-8; false, and nothing is appended, for
  // pieces that only merging can do.
  bool encode(std::string_view piece, std::vector<TokenId>& out) const;

 private:
  static constexpr uint32_t kMaxNodes = 1u << 20;

  // How a token is made. Rank 0: a byte. Rank kNoRank: never made by merging.
  struct Origin {
    TokenId left = -1, right = -1;
    uint32_t rank = kNoRank;
    uint32_t bytes : 31 = 0;
    uint32_t doubtful : 1 = 0;  // tokens with this one may differ from what merging gives
  };
  bool find_origins(const MergeTable& merges);
  bool lacks_a_byte_of(std::string_view piece) const;
  class Walk;
  bool build_trie(const std::function<std::string(TokenId)>& token_bytes);
  uint32_t child_of(uint32_t node, char32_t symbol) const;
  // The longest token at the start of `text`, valid UTF-8 but for what is cut off at its ends.
  TokenId longest(std::string_view text) const;
  // Whether two neighbours stay two.
  bool compatible(TokenId left, TokenId right) const;
  bool is_token(uint32_t node) const { return node < origins_.size(); }  // then it is its id

  std::array<TokenId, 256> byte_ids_;
  std::vector<Origin> origins_;
  std::vector<TokenId> shorter_;  // the longest token that a token starts with, or -1
  PackedTable ranks_;             // of the pair (left, right) that makes a token
  // The trie goes by symbols: whole characters, and single bytes where a token begins or ends
  // inside a character.
  std::vector<uint32_t> roots_;    // children of the root, by symbol
  PackedTable edges_;              // (node, symbol) to node
  std::vector<bool> has_partial_;  // by node: goes on with single bytes
  bool usable_ = false;
  bool lacks_bytes_ = false;
};

}  // namespace gradus
