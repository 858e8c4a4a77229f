// SPDX-License-Identifier: Apache-2.0
// A tokenizer.json, executed: added tokens are cut out of the input, each text between them is
// normalised, cut into pieces, and the model turns pieces into tokens.
#include <algorithm>
#include <set>

#include "base/error.h"
#include "text/tokenizer.h"
#include "text/tokenizer/added_tokens.h"
#include "text/tokenizer/batch_rules.h"
#include "text/tokenizer/component.h"
#include "text/tokenizer/decoder.h"
#include "text/tokenizer/model.h"
#include "text/tokenizer/normalizer.h"
#include "text/tokenizer/post_processor.h"
#include "text/tokenizer/pre_tokenizer.h"
#include "text/unicode.h"

namespace gradus {
namespace {

constexpr size_t kMaxInputBytes = size_t{1} << 31;

class JsonTokenizer : public Tokenizer {
 public:
  JsonTokenizer(const Json& document, const std::string& where);

  std::vector<TokenId> encode(std::string_view text, SpecialTokens special) const override {
    return run(text, special, Tracking::kOff, {}).ids;
  }
  Encoding encode_with_spans(std::string_view text, SpecialTokens special) const override {
    return run(text, special, Tracking::kOn, {});
  }
  Encoding encode_guarded(std::string_view text, const std::vector<ByteSpan>& data) const override {
    return run(text, SpecialTokens::kNone, Tracking::kOn, data);
  }
  std::string decode(const std::vector<TokenId>& ids, DecodeSpecial special) const override;
  std::string token_bytes(TokenId id) const override;

  int64_t vocab_size() const override {
    return std::max<int64_t>(model_->vocab().end_id(), added_.end_id());
  }
  std::optional<TokenId> token_to_id(std::string_view token) const override;
  std::string id_to_token(TokenId id) const override;
  bool has_token(TokenId id) const override { return added_.find(id) || model_->vocab().has(id); }
  bool is_special(TokenId id) const override {
    const auto text = decoded_text(id);
    return text && added_.is_special(*text);
  }
  bool decodes_by_concatenation() const override { return decoder_.concatenates; }
  bool is_byte_token(TokenId id) const override {
    const auto text = decoder_.joins_bytes ? decoded_text(id) : std::nullopt;
    return text && byte_token(*text) >= 0;
  }

 private:
  using Data = std::vector<ByteSpan>;  // see encode_guarded(); needs Tracking::kOn
  std::vector<TokenId> encode_in_batch(std::string_view text, SpecialTokens special) const override;
  void pad_batch(std::vector<std::vector<TokenId>>& rows) const override {
    if (padding_) padding_->apply(rows);
  }
  Encoding run(std::string_view text, SpecialTokens special, Tracking tracking,
               const Data& data) const;
  void encode_text(AlignedText text, const Data& data, Tracking spans, Encoding& out) const;
  void encode_words(std::string_view text, Encoding& out) const;
  void encode_ids(Pieces pieces, Encoding& out) const;
  void encode_pieces(Pieces pieces, const Data& data, Encoding& out) const;
  size_t cut_for_data(const AlignedText& text, const PieceRange& piece,
                      const std::vector<Symbol>& symbols, const Data& data) const;
  std::optional<std::string> decoded_text(TokenId id) const;

  std::unique_ptr<TokenModel> model_;
  AddedTokens added_;
  Normalizer normalizer_;
  PreTokenizers pre_;
  PostProcessor post_;
  Decoder decoder_;
  std::optional<Truncation> truncation_;
  std::optional<Padding> padding_;
};

const Json* component(const Json& document, const char* key) {
  if (!document.contains(key) || document.at(key).is_null()) return nullptr;
  return &document.at(key);
}

JsonTokenizer::JsonTokenizer(const Json& document, const std::string& where) {
  if (const Json* part = component(document, "normalizer"))
    normalizer_ = read_normalizer(*part, where + ": normalizer");
  const Json& model = json_member(document, "model", where);
  const bool bytes = model_reads_bytes(model);
  if (const Json* part = component(document, "pre_tokenizer"))
    pre_ = read_pre_tokenizer(*part, bytes ? FinalBytes::kLeftOut : FinalBytes::kWritten,
                              where + ": pre_tokenizer");
  model_ = read_model(model, bytes && pre_.ends_in_bytes ? PieceForm::kBytes : PieceForm::kText,
                      where + ": model");
  if (const Json* part = component(document, "added_tokens"))
    added_.read(*part, model_->vocab(), normalizer_, where + ": added_tokens");
  if (const Json* part = component(document, "post_processor"))
    post_ = read_post_processor(*part, where + ": post_processor");
  if (const Json* part = component(document, "decoder"))
    decoder_ = read_decoder(*part, where + ": decoder");
  truncation_ = read_truncation(document, where);
  padding_ = read_padding(document, where);
}

std::vector<TokenId> JsonTokenizer::encode_in_batch(std::string_view text,
                                                    SpecialTokens special) const {
  if (!truncation_) return encode(text, special);
  const bool add = special == SpecialTokens::kAdd && post_;
  Encoding added;
  if (add) post_process(post_, added);
  Encoding out{.ids = encode(text, SpecialTokens::kNone), .spans = {}};
  truncation_->apply(out.ids, added.ids.size());
  if (add) post_process(post_, out);
  return out.ids;
}

void check_size(size_t bytes, size_t limit) {
  if (bytes <= limit) return;
  throw Error({.what = "text is too long for one call of the tokenizer",
               .expected = cat("at most ", limit, " bytes")});
}

void add_token(TokenId id, const ByteSpan& span, Encoding& out, Tracking tracking) {
  out.ids.push_back(id);
  if (tracking == Tracking::kOn) out.spans.push_back(span);
}

Encoding JsonTokenizer::run(std::string_view text, SpecialTokens special, Tracking tracking,
                            const Data& data) const {
  check_size(text.size(), kMaxInputBytes);
  if (const auto bad = find_invalid_utf8(text))
    throw Error({.what = "text is not valid UTF-8", .where = cat("byte ", *bad)});
  Encoding out;
  if (tracking == Tracking::kOff) out.ids.reserve(text.size() / 4 + 4);
  const bool align = pre_.alignment == Alignment::kAlways ||
                     (pre_.alignment == Alignment::kOfEdited && normalizer_);
  const auto inside = align ? Tracking::kOn : tracking;
  const auto refuse = [&](size_t begin, size_t end) { return touches(data, begin, end); };
  for (const AddedSplit& part : added_.split_input(text, refuse)) {
    if (part.id >= 0) {
      add_token(part.id, {part.begin, part.end}, out, tracking);
    } else {
      encode_text(AlignedText(text.substr(part.begin, part.end - part.begin), part.begin, inside),
                  data, tracking, out);
    }
  }
  if (special == SpecialTokens::kAdd && post_) post_process(post_, out);
  return out;
}

void JsonTokenizer::encode_words(std::string_view text, Encoding& out) const {
  thread_local std::vector<uint32_t> ends;
  ends.clear();
  pre_.words->scan(text, ends);
  model_->tokenize_words(text, ends, out.ids);
}

void JsonTokenizer::encode_text(AlignedText text, const Data& data, Tracking spans,
                                Encoding& out) const {
  if (normalizer_) normalizer_(text);
  check_size(text.size(), UINT32_MAX);
  const auto refuse = [&](size_t begin, size_t end) {
    const ByteSpan source = data.empty() ? ByteSpan{} : text.source(begin, end);
    return touches(data, source.begin, source.end);
  };
  const auto encode = [&](Pieces pieces) {
    if (spans == Tracking::kOn)
      encode_pieces(std::move(pieces), data, out);
    else
      encode_ids(std::move(pieces), out);
  };
  for (const AddedSplit& part : added_.split_normalized(text.view(), refuse)) {
    const bool whole = part.begin == 0 && part.end == text.size();
    if (part.id >= 0) {
      add_token(part.id, text.source(part.begin, part.end), out, spans);
    } else if (pre_.words && spans == Tracking::kOff) {
      encode_words(text.view().substr(part.begin, part.end - part.begin), out);
    } else if (whole) {
      return encode({.text = std::move(text), .ranges = {{part.begin, part.end}}});
    } else {
      encode({.text = text.slice(part.begin, part.end), .ranges = {{0, part.end - part.begin}}});
    }
  }
}

void JsonTokenizer::encode_ids(Pieces pieces, Encoding& out) const {
  if (pre_.run) pre_.run(pieces);
  check_size(pieces.text.size(), UINT32_MAX);
  std::vector<uint32_t> end(1);
  for (const PieceRange& piece : pieces.ranges) {
    end[0] = static_cast<uint32_t>(piece.end - piece.begin);
    model_->tokenize_words(pieces.text.view().substr(piece.begin, end[0]), end, out.ids);
  }
}

// Some models (Unigram, WordLevel) know control tokens as words. Where one came from data, its word
// is to be cut behind the first character; 0: nowhere.
size_t JsonTokenizer::cut_for_data(const AlignedText& text, const PieceRange& piece,
                                   const std::vector<Symbol>& symbols, const Data& data) const {
  size_t at = piece.begin;
  for (const Symbol& symbol : symbols) {
    const size_t end = std::min(at + symbol.bytes, piece.end);
    const AddedToken* token = added_.find(symbol.id);
    if (token && is_control(*token) && text.view().substr(at, end - at) == token->content) {
      const ByteSpan source = text.source(at, end);
      const size_t first = decode_utf8(text.view(), at).bytes;
      if (at + first < end && touches(data, source.begin, source.end)) return at + first;
    }
    at = end;
  }
  return 0;
}

void JsonTokenizer::encode_pieces(Pieces pieces, const Data& data, Encoding& out) const {
  if (pre_.run) pre_.run(pieces);
  const std::string_view text = pieces.text.view();
  std::vector<Symbol> symbols;
  for (size_t i = 0; i < pieces.ranges.size(); ++i) {
    PieceRange& piece = pieces.ranges[i];
    symbols.clear();
    model_->tokenize(text.substr(piece.begin, piece.end - piece.begin), symbols);
    const size_t cut = data.empty() ? 0 : cut_for_data(pieces.text, piece, symbols, data);
    if (cut > 0) {
      const PieceRange rest{cut, piece.end};
      piece.end = cut;
      pieces.ranges.insert(pieces.ranges.begin() + static_cast<std::ptrdiff_t>(i) + 1, rest);
      --i;
      continue;
    }
    size_t at = piece.begin;
    for (const Symbol& symbol : symbols) {
      // The bytes of a character with a prefix or suffix may be more tokens than bytes.
      const size_t end = std::min(at + symbol.bytes, piece.end);
      add_token(symbol.id, pieces.text.source(at, end), out, Tracking::kOn);
      at = end;
    }
  }
}

std::optional<std::string> JsonTokenizer::decoded_text(TokenId id) const {
  if (const AddedToken* token = added_.find(id)) return added_.decoded_text(*token);
  if (!model_->vocab().has(id)) return std::nullopt;
  return std::string(model_->vocab().token(id));
}

std::string JsonTokenizer::decode(const std::vector<TokenId>& ids, DecodeSpecial special) const {
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  for (const TokenId id : ids) {
    auto text = decoded_text(id);
    if (!text || (special == DecodeSpecial::kSkip && added_.is_special(*text))) continue;
    tokens.push_back(std::move(*text));
  }
  if (decoder_.run) decoder_.run(tokens);
  std::string out;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (i > 0 && !decoder_.run) out += ' ';
    out += tokens[i];
  }
  return out;
}

std::string JsonTokenizer::token_bytes(TokenId id) const {
  auto text = decoded_text(id);
  if (!text) return {};
  if (!decoder_.run) return " " + *text;
  decoder_.run_inside(*text);
  return *text;
}

std::optional<TokenId> JsonTokenizer::token_to_id(std::string_view token) const {
  TokenId id = added_.find(token);
  if (id < 0) id = model_->vocab().find(token);
  return id < 0 ? std::nullopt : std::optional<TokenId>(id);
}

std::string JsonTokenizer::id_to_token(TokenId id) const {
  if (const AddedToken* token = added_.find(id)) return token->content;
  if (model_->vocab().has(id)) return std::string(model_->vocab().token(id));
  throw Error({.what = cat("no token has id ", id), .expected = cat("0 to ", vocab_size() - 1)});
}

}  // namespace

std::unique_ptr<Tokenizer> tokenizer_from_json(const Json& document, const std::string& where) {
  if (!document.is_object())
    throw Error({.what = "is not a tokenizer", .where = where, .expected = "an object"});
  const auto version = json_get<std::string>(document, "version", "1.0", where);
  if (version != "1.0")
    throw Error({.what = "tokenizer version is not supported",
                 .where = where + ": version",
                 .expected = "1.0",
                 .found = printable(version)});
  return std::make_unique<JsonTokenizer>(document, where);
}

}  // namespace gradus
