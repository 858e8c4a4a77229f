// SPDX-License-Identifier: Apache-2.0
// WordLevel: a piece is a token or unknown. WordPiece: the longest token from the left, again and
// again.
#include "base/error.h"
#include "text/tokenizer/component.h"
#include "text/tokenizer/model.h"
#include "text/unicode.h"

namespace gradus {
namespace {

constexpr int64_t kMaxWordChars = 1 << 16;

class WordLevel : public TokenModel {
 public:
  WordLevel(Vocab vocab, const std::string& unknown, std::string where)
      : vocab_(std::move(vocab)), unknown_(vocab_.find(unknown)), where_(std::move(where)) {}

  const Vocab& vocab() const override { return vocab_; }

  void tokenize(std::string_view piece, std::vector<Symbol>& out) const override {
    const TokenId id = vocab_.find(piece);
    out.push_back({id >= 0 ? id : unknown(), static_cast<uint32_t>(piece.size())});
  }

 protected:
  TokenId unknown() const {
    if (unknown_ < 0)
      throw Error({.what = "text has unknown words and unk_token is not in the vocabulary",
                   .where = where_});
    return unknown_;
  }

  Vocab vocab_;

 private:
  TokenId unknown_;
  std::string where_;
};

class WordPiece : public WordLevel {
 public:
  struct Options {
    std::string prefix;
    size_t max_chars;
  };
  WordPiece(Vocab vocab, const std::string& unknown, Options options, const std::string& where)
      : WordLevel(std::move(vocab), unknown, where), options_(std::move(options)) {}

  void tokenize(std::string_view piece, std::vector<Symbol>& out) const override {
    const size_t before = out.size();
    bool whole = count_code_points(piece) <= options_.max_chars;
    for (size_t at = 0; whole && at < piece.size();) {
      const Symbol symbol = longest(piece, at);
      whole = symbol.bytes > 0;
      if (whole) out.push_back(symbol);
      at += symbol.bytes;
    }
    if (whole) return;
    out.resize(before);
    out.push_back({unknown(), static_cast<uint32_t>(piece.size())});
  }

 private:
  Symbol longest(std::string_view piece, size_t at) const {
    std::string candidate;
    for (size_t end = piece.size(); end > at; end -= decode_utf8_before(piece, end).bytes) {
      candidate = at > 0 ? options_.prefix : "";
      candidate += piece.substr(at, end - at);
      const TokenId id = vocab_.find(candidate);
      if (id >= 0) return {id, static_cast<uint32_t>(end - at)};
    }
    return {};
  }

  Options options_;
};

}  // namespace

std::unique_ptr<TokenModel> read_word_level(const Json& model, const std::string& where) {
  return std::make_unique<WordLevel>(
      Vocab::read(json_member(model, "vocab", where), where + ".vocab"),
      json_get<std::string>(model, "unk_token", where), where);
}

std::unique_ptr<TokenModel> read_word_piece(const Json& model, const std::string& where) {
  const auto max_chars = json_get<int64_t>(model, "max_input_chars_per_word", where);
  if (max_chars < 0 || max_chars > kMaxWordChars)
    json_wrong_type(model.at("max_input_chars_per_word"), "max_input_chars_per_word",
                    "from 0 to 65536", where);
  return std::make_unique<WordPiece>(
      Vocab::read(json_member(model, "vocab", where), where + ".vocab"),
      json_get<std::string>(model, "unk_token", where),
      WordPiece::Options{json_get<std::string>(model, "continuing_subword_prefix", where),
                         static_cast<size_t>(max_chars)},
      where);
}

}  // namespace gradus
