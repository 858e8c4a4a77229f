// SPDX-License-Identifier: Apache-2.0
// One tokenizer for training, evaluation and serving. It executes a Hugging Face tokenizer.json as
// written, or a SentencePiece tokenizer.model; ids equal those of the reference implementations.
// Thread-safe after construction.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace gradus {

using TokenId = int32_t;

struct ByteSpan {
  size_t begin = 0, end = 0;
};

// ids and, for each, the bytes of the input text that it came from (empty for inserted tokens).
struct Encoding {
  std::vector<TokenId> ids;
  std::vector<ByteSpan> spans;
};

enum class SpecialTokens { kNone, kAdd };  // whether the post-processor inserts BOS/EOS and the like
enum class DecodeSpecial { kKeep, kSkip };

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Added tokens in `text` are recognised in both modes, as in the reference implementations.
  virtual std::vector<TokenId> encode(std::string_view text, SpecialTokens special) const = 0;
  virtual Encoding encode_with_spans(std::string_view text, SpecialTokens special) const = 0;
  virtual std::string decode(const std::vector<TokenId>& ids, DecodeSpecial special) const = 0;
  // The bytes that one token adds inside a sequence (not yet valid UTF-8 by itself for byte tokens).
  virtual std::string token_bytes(TokenId id) const = 0;

  virtual int64_t vocab_size() const = 0;  // largest id + 1, added tokens included
  virtual std::optional<TokenId> token_to_id(std::string_view token) const = 0;
  virtual std::string id_to_token(TokenId id) const = 0;  // throws gradus::Error when out of range
  virtual bool is_special(TokenId id) const = 0;
};

// Reads DIR/tokenizer.json, else DIR/tokenizer.model; throws naming both when neither exists.
std::unique_ptr<Tokenizer> load_tokenizer(const fs::path& model_folder);
std::unique_ptr<Tokenizer> tokenizer_from_json(const Json& document, const std::string& where);
std::unique_ptr<Tokenizer> tokenizer_from_sentencepiece(const fs::path& file);

// Turns ids into text while they arrive. push() returns only whole UTF-8 characters and holds back
// the at most 3 bytes of an unfinished one; finish() returns what is left, invalid bytes as U+FFFD.
// The concatenation equals decode() of all ids.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, DecodeSpecial special = DecodeSpecial::kSkip);
  std::string push(TokenId id);
  std::string finish();

 private:
  const Tokenizer* tokenizer_;
  DecodeSpecial special_;
  std::vector<TokenId> ids_;  // only what is needed for a stable prefix
  std::string pending_;
};

}  // namespace gradus
