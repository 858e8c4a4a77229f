// SPDX-License-Identifier: Apache-2.0
// The models of tokenizer.json: what turns a piece of text into tokens.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/tokenizer/vocab.h"

namespace gradus {

// A token and how many bytes of the piece it covers.
struct Symbol {
  TokenId id = 0;
  uint32_t bytes = 0;
};

class TokenModel {
 public:
  virtual ~TokenModel() = default;
  // Appends the tokens of a non-empty piece of valid UTF-8. Thread-safe.
  virtual void tokenize(std::string_view piece, std::vector<Symbol>& out) const = 0;
  // Appends the tokens of all words of `text`, which end at `ends` and cover it. Thread-safe.
  virtual void tokenize_words(std::string_view text, const std::vector<uint32_t>& ends,
                              std::vector<TokenId>& out) const;
  virtual const Vocab& vocab() const = 0;
};

// How a model's pieces come: as text, or as bytes that its vocabulary writes as characters
// (ByteLevel). Only some models read bytes.
enum class PieceForm { kText, kBytes };

bool model_reads_bytes(const Json& model);
// Reads "model" of a tokenizer.json; throws naming an unknown type.
std::unique_ptr<TokenModel> read_model(const Json& model, PieceForm form, const std::string& where);

// "ranks_by_token" is ours, for tiktoken: a merge ranks as the id of its token.
std::unique_ptr<TokenModel> read_bpe(const Json& model, PieceForm form, const std::string& where);
std::unique_ptr<TokenModel> read_unigram(const Json& model, const std::string& where);
std::unique_ptr<TokenModel> read_word_piece(const Json& model, const std::string& where);
std::unique_ptr<TokenModel> read_word_level(const Json& model, const std::string& where);

}  // namespace gradus
