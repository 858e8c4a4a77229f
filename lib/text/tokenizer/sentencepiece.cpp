// SPDX-License-Identifier: Apache-2.0
// SentencePiece models through its own library, so ids are its own by construction. Added tokens
// are cut out of the text before.
#include <sentencepiece_processor.h>

#include <algorithm>

#include "base/error.h"
#include "text/tokenizer.h"
#include "text/tokenizer/added_tokens.h"
#include "text/tokenizer/decoder.h"
#include "text/tokenizer/sentencepiece_check.h"
#include "text/tokenizer/sentencepiece_folder.h"
#include "text/unicode.h"

namespace gradus {
namespace {

using sentencepiece::ImmutableSentencePieceText;
using sentencepiece::SentencePieceProcessor;

constexpr size_t kMaxModelBytes = 256 << 20;
constexpr size_t kMaxInputBytes = size_t{1} << 30;
constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581

void require(const sentencepiece::util::Status& status) {
  if (!status.ok()) throw Error("SentencePiece: " + printable(status.message()));
}

class SentencePieceTokenizer : public Tokenizer {
 public:
  // `folder` says what is added to the model; null: what the model itself does, with its BOS.
  SentencePieceTokenizer(std::string_view model, const SentencePieceModel& facts,
                         const TokenizerFolder* folder, const std::string& where);

  std::vector<TokenId> encode(std::string_view text, SpecialTokens special) const override {
    if (!added_.empty()) return run(text, special, {}).ids;
    check(text);
    std::vector<int> ids;
    require(processor_.Encode(text, &ids));
    if (special == SpecialTokens::kNone) return ids;
    ids.insert(ids.begin(), before_.begin(), before_.end());
    ids.insert(ids.end(), after_.begin(), after_.end());
    return ids;
  }

  Encoding encode_with_spans(std::string_view text, SpecialTokens special) const override {
    return run(text, special, {});
  }
  Encoding encode_guarded(std::string_view text, const std::vector<ByteSpan>& data) const override {
    return run(text, SpecialTokens::kNone, data);
  }
  std::string decode(const std::vector<TokenId>& ids, DecodeSpecial special) const override;
  std::string token_bytes(TokenId id) const override;

  int64_t vocab_size() const override {
    return std::max<int64_t>(processor_.GetPieceSize(), added_.end_id());
  }
  std::optional<TokenId> token_to_id(std::string_view token) const override;
  std::string id_to_token(TokenId id) const override {
    if (const AddedToken* token = added_.find(id)) return token->content;
    if (is_piece(id)) return processor_.IdToPiece(id);
    throw Error({.what = cat("no token has id ", id), .expected = cat("0 to ", vocab_size() - 1)});
  }
  bool has_token(TokenId id) const override { return added_.find(id) || is_piece(id); }
  bool is_special(TokenId id) const override {
    const AddedToken* token = added_.find(id);
    return token ? token->special : is_piece(id) && processor_.IsControl(id);
  }
  bool decodes_by_concatenation() const override { return false; }
  bool is_byte_token(TokenId id) const override {
    return !added_.find(id) && is_piece(id) && processor_.IsByte(id);
  }

 private:
  static void check(std::string_view text) {
    if (text.size() > kMaxInputBytes)
      throw Error({.what = "text is too long for one call of the tokenizer",
                   .expected = cat("at most ", kMaxInputBytes, " bytes")});
    if (const auto bad = find_invalid_utf8(text))
      throw Error({.what = "text is not valid UTF-8", .where = cat("byte ", *bad)});
  }
  bool is_piece(TokenId id) const { return id >= 0 && id < processor_.GetPieceSize(); }
  void add_tokens(const SentencePieceModel& facts, const Json& list, const std::string& where);
  Encoding run(std::string_view text, SpecialTokens special,
               const std::vector<ByteSpan>& data) const;
  void encode_part(std::string_view text, size_t offset, Encoding& out) const;
  std::string decode_pieces(const std::vector<int>& ids, DecodeSpecial special) const;

  SentencePieceProcessor processor_;
  AddedTokens added_;
  std::vector<TokenId> before_, after_;
};

SentencePieceTokenizer::SentencePieceTokenizer(std::string_view model,
                                               const SentencePieceModel& facts,
                                               const TokenizerFolder* folder,
                                               const std::string& where) {
  const auto status = processor_.LoadFromSerializedProto(model);
  if (!status.ok())
    throw Error(
        {.what = "is not a SentencePiece model: " + printable(status.message()), .where = where});
  if (processor_.GetPieceSize() <= 0 ||
      static_cast<size_t>(processor_.GetPieceSize()) != facts.pieces.size())
    throw Error({.what = "SentencePiece model has no pieces", .where = where});
  if (!folder) {
    if (processor_.bos_id() >= 0) before_ = {processor_.bos_id()};
    return;
  }
  const auto additions = sentencepiece_additions(
      facts, *folder, {.bos = processor_.bos_id(), .eos = processor_.eos_id()});
  before_.assign(additions.before.begin(), additions.before.end());
  after_.assign(additions.after.begin(), additions.after.end());
  add_tokens(facts, additions.added_tokens, where);
}

// An added token may stand for a piece of another name, such as "[UNUSED_TOKEN_146]".
void SentencePieceTokenizer::add_tokens(const SentencePieceModel& facts, const Json& list,
                                        const std::string& where) {
  Vocab vocab;
  std::vector<bool> renamed(facts.pieces.size());
  for (const Json& token : list) {
    const auto id = token.at("id").get<TokenId>();
    vocab.add(token.at("content").get<std::string>(), id, where);
    if (is_piece(id)) renamed[static_cast<size_t>(id)] = true;
  }
  for (size_t id = 0; id < facts.pieces.size(); ++id) {
    const std::string_view text = facts.pieces[id].text;
    if (!renamed[id] && vocab.find(text) < 0) vocab.add(text, static_cast<TokenId>(id), where);
  }
  added_.read(list, vocab, {}, where);
}

Encoding SentencePieceTokenizer::run(std::string_view text, SpecialTokens special,
                                     const std::vector<ByteSpan>& data) const {
  check(text);
  Encoding out;
  const auto add = [&](const std::vector<TokenId>& ids, size_t at) {
    if (special == SpecialTokens::kNone) return;
    out.ids.insert(out.ids.end(), ids.begin(), ids.end());
    out.spans.insert(out.spans.end(), ids.size(), ByteSpan{at, at});
  };
  // SentencePiece finds user-defined pieces by itself: where one came from data it is cut.
  std::vector<size_t> cuts;
  const auto refuse = [&](size_t begin, size_t end) {
    if (!touches(data, begin, end)) return false;
    cuts.push_back(begin + decode_utf8(text, begin).bytes);
    return true;
  };
  add(before_, 0);
  for (const AddedSplit& part : added_.split_input(text, refuse)) {
    if (part.id >= 0) {
      out.ids.push_back(part.id);
      out.spans.push_back({part.begin, part.end});
      continue;
    }
    size_t begin = part.begin;
    for (const size_t cut : cuts) {
      if (cut <= begin || cut >= part.end) continue;
      encode_part(text.substr(begin, cut - begin), begin, out);
      begin = cut;
    }
    encode_part(text.substr(begin, part.end - begin), begin, out);
  }
  add(after_, text.size());
  return out;
}

void SentencePieceTokenizer::encode_part(std::string_view text, size_t offset,
                                         Encoding& out) const {
  ImmutableSentencePieceText pieces;
  require(processor_.Encode(text, pieces.mutable_proto()));
  const size_t first = out.ids.size();
  for (size_t i = 0; i < pieces.pieces_size(); ++i) {
    const auto piece = pieces.pieces(static_cast<int>(i));
    out.ids.push_back(static_cast<TokenId>(piece.id()));
    out.spans.push_back({offset + piece.begin(), offset + piece.end()});
  }
  // Of the byte tokens of a character only the last one has its span.
  for (size_t i = out.ids.size(); i-- > first + 1;) {
    ByteSpan& before = out.spans[i - 1];
    const bool part = is_byte_token(out.ids[i - 1]) && is_byte_token(out.ids[i]);
    if (part && before.begin == before.end) before = out.spans[i];
  }
}

// Runs of pieces between added tokens are decoded one by one, as they were encoded.
std::string SentencePieceTokenizer::decode(const std::vector<TokenId>& ids,
                                           DecodeSpecial special) const {
  std::string out;
  std::vector<int> pieces;
  for (const TokenId id : ids) {
    const AddedToken* token = added_.find(id);
    if (token && token->special && special == DecodeSpecial::kSkip) continue;
    if (!token && is_piece(id)) pieces.push_back(id);
    if (!token) continue;
    out += decode_pieces(pieces, special) + token->content;
    pieces.clear();
  }
  return out + decode_pieces(pieces, special);
}

std::string SentencePieceTokenizer::decode_pieces(const std::vector<int>& ids,
                                                  DecodeSpecial special) const {
  ImmutableSentencePieceText text;
  require(processor_.Decode(ids, text.mutable_proto()));
  if (special == DecodeSpecial::kSkip) return text.text();
  std::string out;
  for (size_t i = 0; i < text.pieces_size(); ++i) {
    const auto piece = text.pieces(static_cast<int>(i));
    const auto id = static_cast<int>(piece.id());
    out += is_special(id) ? processor_.IdToPiece(id) : piece.surface();
  }
  return out;
}

std::optional<TokenId> SentencePieceTokenizer::token_to_id(std::string_view token) const {
  if (const TokenId id = added_.find(token); id >= 0) return id;
  const int id = processor_.PieceToId(token);
  if (added_.find(id) || !is_piece(id) || processor_.IdToPiece(id) != token) return std::nullopt;
  return id;
}

std::string SentencePieceTokenizer::token_bytes(TokenId id) const {
  if (const AddedToken* token = added_.find(id)) return token->content;
  if (!is_piece(id) || processor_.IsControl(id)) return {};
  const std::string& piece = processor_.IdToPiece(id);
  if (processor_.IsByte(id)) return std::string(1, static_cast<char>(byte_token(piece)));
  if (processor_.IsUnknown(id)) return processor_.DecodeIds({id});
  std::string out;
  for (size_t at = 0; at < piece.size();) {
    const bool space = piece.compare(at, kSpaceMark.size(), kSpaceMark) == 0;
    out += space ? ' ' : piece[at];
    at += space ? kSpaceMark.size() : 1;
  }
  return out;
}

SentencePieceModel facts_of(std::string_view model, const std::string& where) {
  if (model.size() > kMaxModelBytes)
    throw Error({.what = "SentencePiece model is too large", .where = where});
  return read_sentencepiece_model(model, where);
}

}  // namespace

std::unique_ptr<Tokenizer> tokenizer_from_sentencepiece_bytes(std::string_view model,
                                                              const std::string& where) {
  return std::make_unique<SentencePieceTokenizer>(model, facts_of(model, where), nullptr, where);
}

std::unique_ptr<Tokenizer> tokenizer_from_sentencepiece(const fs::path& file) {
  const MappedFile model(file);
  const std::string where = file.string();
  const SentencePieceModel facts = facts_of(model.text(), where);
  const TokenizerFolder folder = read_tokenizer_folder(file.parent_path());
  if (!folder.has_config)
    return std::make_unique<SentencePieceTokenizer>(model.text(), facts, nullptr, where);
  if (const auto document = tokenizer_json_from_sentencepiece(facts, folder))
    return tokenizer_from_json(*document, where);
  return std::make_unique<SentencePieceTokenizer>(model.text(), facts, &folder, where);
}

}  // namespace gradus
