// SPDX-License-Identifier: Apache-2.0
// One tokenizer for training, evaluation and serving. It executes a Hugging Face tokenizer.json as
// written, or a SentencePiece tokenizer.model; ids equal those of the reference implementations.
// Thread-safe after construction. "truncation" and "padding" of a tokenizer.json are for batches:
// encode_batch() applies them as the `tokenizers` package does; the other functions, which training
// and serving use, give all ids of a text and no others, as transformers does.
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

// ids and, for each, the bytes of the input text that it came from: whole characters, so the tokens
// of a character that is split over several all give that character's bytes. Spaces before a word
// belong to its token. Empty for tokens that were inserted around the text; a space or mark that a
// normalizer or pre-tokenizer puts before the text counts to the character it precedes.
struct Encoding {
  std::vector<TokenId> ids;
  std::vector<ByteSpan> spans;
};

enum class SpecialTokens {
  kNone,
  kAdd
};  // whether the post-processor inserts BOS/EOS and the like
enum class DecodeSpecial { kKeep, kSkip };

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Added tokens in `text` are recognised in both modes, as in the reference implementations
  // (SentencePiece recognises its user-defined symbols, not its control symbols). Throws
  // gradus::Error when `text` is not valid UTF-8.
  virtual std::vector<TokenId> encode(std::string_view text, SpecialTokens special) const = 0;
  virtual Encoding encode_with_spans(std::string_view text, SpecialTokens special) const = 0;
  // As encode_with_spans(kNone), for text of which some parts (`data`, in order, not overlapping)
  // were written by strangers: there, special tokens and tokens spelled <...> or [...] are plain
  // text, so that data cannot end its turn or open another. The default suits tokenizers that never
  // read control tokens from text.
  virtual Encoding encode_guarded(std::string_view text, const std::vector<ByteSpan>& data) const;
  // Ids without a token are skipped; ill-formed UTF-8 becomes U+FFFD.
  virtual std::string decode(const std::vector<TokenId>& ids, DecodeSpecial special) const = 0;
  // The ids of many texts, encoded on all usable cores, cut and padded as the tokenizer's file
  // says. Texts may be of any length in total. Throws when a signal asks to stop.
  std::vector<std::vector<TokenId>> encode_batch(const std::vector<std::string>& texts,
                                                 SpecialTokens special) const;
  // The bytes that one token adds inside a sequence (not yet valid UTF-8 by itself for byte
  // tokens).
  virtual std::string token_bytes(TokenId id) const = 0;

  virtual int64_t vocab_size() const = 0;  // largest id + 1, added tokens included
  virtual std::optional<TokenId> token_to_id(std::string_view token) const = 0;
  virtual std::string id_to_token(TokenId id) const = 0;  // throws gradus::Error when out of range
  virtual bool has_token(TokenId id) const { return id >= 0 && id < vocab_size(); }
  virtual bool is_special(TokenId id) const = 0;

  // How decode() may be done token by token, for StreamDecoder: it is the concatenation of
  // token_bytes() with ill-formed UTF-8 replaced, or it depends on the tokens before; in that case
  // a run of byte tokens must not be cut.
  virtual bool decodes_by_concatenation() const { return false; }
  virtual bool is_byte_token(TokenId) const { return false; }

 protected:
  // One text of a batch, and what is done to all of them after.
  virtual std::vector<TokenId> encode_in_batch(std::string_view text, SpecialTokens special) const {
    return encode(text, special);
  }
  virtual void pad_batch(std::vector<std::vector<TokenId>>&) const {}
};

// Reads DIR/tokenizer.json, else DIR/tokenizer.model (SentencePiece or tiktoken), *.tiktoken or
// rwkv_vocab_*.txt; throws naming them when none exists.
std::unique_ptr<Tokenizer> load_tokenizer(const fs::path& model_folder);
std::unique_ptr<Tokenizer> tokenizer_from_json(const Json& document, const std::string& where);
std::unique_ptr<Tokenizer> tokenizer_from_sentencepiece(const fs::path& file);
std::unique_ptr<Tokenizer> tokenizer_from_sentencepiece_bytes(std::string_view model,
                                                              const std::string& where);

// Turns ids into text while they arrive. push() returns only whole UTF-8 characters and holds back
// the at most 3 bytes of an unfinished one, or a run of byte tokens until another token ends it;
// finish() returns what is left, invalid bytes as U+FFFD. The concatenation equals decode() of all
// ids. The tokenizer must outlive it.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, DecodeSpecial special = DecodeSpecial::kSkip);
  std::string push(TokenId id);
  std::string finish();

 private:
  std::string push_bytes(TokenId id);
  std::string push_in_context(TokenId id);
  void shorten_context();

  const Tokenizer* tokenizer_;
  DecodeSpecial special_;
  std::vector<TokenId> ids_;   // the shortest context that fixes how the next token is decoded
  size_t returned_bytes_ = 0;  // of the text of ids_
  std::string pending_;        // bytes of an unfinished character
};

}  // namespace gradus
