// SPDX-License-Identifier: Apache-2.0
// Tokens that are found in the text before any model sees it, as the `tokenizers` package finds
// them: those with normalized = false in the input, the others in the normalised text.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/json.h"
#include "text/tokenizer/normalizer.h"
#include "text/tokenizer/vocab.h"

namespace gradus {

struct AddedToken {
  TokenId id = 0;
  std::string content = {};
  bool single_word = false, lstrip = false, rstrip = false, normalized = true, special = false;
};

// Whether the token could steer a conversation: special, or spelled <...> or [...], since some
// vocabularies hold their turn markers as added tokens that are not special.
bool is_control(const AddedToken& token);

// Whether bytes [begin, end) touch one of the spans, which are in order.
bool touches(const std::vector<ByteSpan>& spans, size_t begin, size_t end);

// A part of a text: an added token, or text between such.
struct AddedSplit {
  size_t begin = 0, end = 0;
  TokenId id = -1;  // -1 for text
};

// Finds the leftmost of a set of strings, the longest where several start at one place.
class StringFinder {
 public:
  // An empty string is never found. Of equal ones, such as "B" and "b" once normalised, the least
  // id counts; `tokenizers` takes any of them. False for both.
  bool add(std::string_view text, TokenId id);
  struct Hit {
    size_t begin, end;
    TokenId id;
  };
  std::optional<Hit> next(std::string_view text, size_t from) const;
  bool empty() const { return nodes_.size() == 1; }

 private:
  struct Node {
    TokenId id = -1;
    uint32_t child = 0, sibling = 0;  // 0: none
    char byte = 0;
  };
  uint32_t child_of(uint32_t node, char byte) const;

  std::vector<Node> nodes_{1};
  uint32_t first_[256] = {};  // children of the root
};

class AddedTokens {
 public:
  // From "added_tokens". As in `tokenizers`, a token that the vocabulary knows keeps that id and
  // any other gets the next free one, whatever id the file says; a difference is logged.
  void read(const Json& list, const Vocab& vocab, const Normalizer& normalizer,
            const std::string& where);

  // The parts of input text, in order, and of normalised text. Control tokens for which `refuse`
  // answers true are left in the text.
  using Refuse = std::function<bool(size_t begin, size_t end)>;
  std::vector<AddedSplit> split_input(std::string_view text, const Refuse& refuse = {}) const {
    return split(text, raw_, refuse);
  }
  std::vector<AddedSplit> split_normalized(std::string_view text, const Refuse& refuse = {}) const {
    return split(text, normalized_, refuse);
  }

  const AddedToken* find(TokenId id) const;
  TokenId find(std::string_view content) const;  // -1 when absent
  // The text that stands for the token when decoding: its content as the normalizer writes it.
  const std::string& decoded_text(const AddedToken& token) const;
  // Special tokens are left out of decoded text by their text, not by their id.
  bool is_special(const std::string& text) const { return special_.contains(text); }
  bool empty() const { return tokens_.empty(); }
  TokenId end_id() const { return end_id_; }

 private:
  void add(AddedToken token, const Normalizer& normalizer);
  void build_finders();
  std::vector<AddedSplit> split(std::string_view text, const StringFinder& finder,
                                const Refuse& refuse) const;
  bool is_whole_word(std::string_view text, const StringFinder::Hit& hit) const;

  std::unordered_map<TokenId, AddedToken> tokens_;
  std::unordered_map<TokenId, std::string> normal_forms_;  // where they differ from the content
  std::unordered_map<std::string, TokenId> ids_;
  std::unordered_set<std::string> special_;
  StringFinder raw_, normalized_;
  TokenId end_id_ = 0;
};

}  // namespace gradus
