// SPDX-License-Identifier: Apache-2.0
// SentencePiece models through its own library, so ids are its own by construction.
#include <sentencepiece_processor.h>

#include <algorithm>

#include "base/error.h"
#include "text/tokenizer.h"
#include "text/tokenizer/decoder.h"
#include "text/tokenizer/sentencepiece_check.h"
#include "text/unicode.h"

namespace gradus {
namespace {

using sentencepiece::ImmutableSentencePieceText;
using sentencepiece::SentencePieceProcessor;

constexpr size_t kMaxModelBytes = 256 << 20;
constexpr size_t kMaxInputBytes = size_t{1} << 30;
constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581

// What SpecialTokens::kAdd adds, as LlamaTokenizer does: BOS unless tokenizer_config.json beside
// the model says otherwise, EOS only when it says so.
struct Ends {
  bool bos = true, eos = false;
};

Ends read_ends(const fs::path& config_file) {
  if (!fs::exists(config_file)) return {};
  const Json config = read_json(config_file);
  const std::string where = config_file.string();
  return {json_get<bool>(config, "add_bos_token", true, where),
          json_get<bool>(config, "add_eos_token", false, where)};
}

class SentencePieceTokenizer : public Tokenizer {
 public:
  SentencePieceTokenizer(std::string_view model, Ends ends, const std::string& where) {
    check_sentencepiece_model(model, where);
    const auto status = processor_.LoadFromSerializedProto(model);
    if (!status.ok())
      throw Error(
          {.what = "is not a SentencePiece model: " + printable(status.message()), .where = where});
    if (processor_.GetPieceSize() <= 0)
      throw Error({.what = "SentencePiece model has no pieces", .where = where});
    bos_ = ends.bos ? processor_.bos_id() : -1;
    eos_ = ends.eos ? processor_.eos_id() : -1;
  }

  std::vector<TokenId> encode(std::string_view text, SpecialTokens special) const override {
    check(text);
    std::vector<int> ids;
    require(processor_.Encode(text, &ids));
    if (special == SpecialTokens::kAdd && bos_ >= 0) ids.insert(ids.begin(), bos_);
    if (special == SpecialTokens::kAdd && eos_ >= 0) ids.push_back(eos_);
    return ids;
  }

  Encoding encode_with_spans(std::string_view text, SpecialTokens special) const override;
  std::string decode(const std::vector<TokenId>& ids, DecodeSpecial special) const override;
  std::string token_bytes(TokenId id) const override;

  int64_t vocab_size() const override { return processor_.GetPieceSize(); }
  std::optional<TokenId> token_to_id(std::string_view token) const override {
    const int id = processor_.PieceToId(token);
    if (!has_token(id) || processor_.IdToPiece(id) != token) return std::nullopt;
    return id;
  }
  std::string id_to_token(TokenId id) const override {
    if (has_token(id)) return processor_.IdToPiece(id);
    throw Error({.what = cat("no token has id ", id), .expected = cat("0 to ", vocab_size() - 1)});
  }
  bool has_token(TokenId id) const override { return id >= 0 && id < processor_.GetPieceSize(); }
  bool is_special(TokenId id) const override { return has_token(id) && processor_.IsControl(id); }
  bool decodes_by_concatenation() const override { return false; }
  bool is_byte_token(TokenId id) const override { return has_token(id) && processor_.IsByte(id); }

 private:
  static void check(std::string_view text) {
    if (text.size() > kMaxInputBytes)
      throw Error({.what = "text is too long for one call of the tokenizer",
                   .expected = cat("at most ", kMaxInputBytes, " bytes")});
    if (const auto bad = find_invalid_utf8(text))
      throw Error({.what = "text is not valid UTF-8", .where = cat("byte ", *bad)});
  }
  static void require(const sentencepiece::util::Status& status) {
    if (!status.ok()) throw Error("SentencePiece: " + printable(status.message()));
  }

  SentencePieceProcessor processor_;
  int bos_ = -1, eos_ = -1;
};

Encoding SentencePieceTokenizer::encode_with_spans(std::string_view text,
                                                   SpecialTokens special) const {
  check(text);
  ImmutableSentencePieceText pieces;
  require(processor_.Encode(text, pieces.mutable_proto()));
  Encoding out;
  for (size_t i = 0; i < pieces.pieces_size(); ++i) {
    const auto piece = pieces.pieces(static_cast<int>(i));
    out.ids.push_back(static_cast<TokenId>(piece.id()));
    out.spans.push_back({piece.begin(), piece.end()});
  }
  // Of the byte tokens of a character only the last one has its span.
  for (size_t i = out.ids.size(); i-- > 1;) {
    ByteSpan& before = out.spans[i - 1];
    const bool part = is_byte_token(out.ids[i - 1]) && is_byte_token(out.ids[i]);
    if (part && before.begin == before.end) before = out.spans[i];
  }
  if (special == SpecialTokens::kNone) return out;
  if (bos_ >= 0) {
    out.ids.insert(out.ids.begin(), bos_);
    out.spans.insert(out.spans.begin(), ByteSpan{0, 0});
  }
  if (eos_ >= 0) {
    out.ids.push_back(eos_);
    out.spans.push_back({text.size(), text.size()});
  }
  return out;
}

std::string SentencePieceTokenizer::decode(const std::vector<TokenId>& ids,
                                           DecodeSpecial special) const {
  std::vector<int> known;
  std::copy_if(ids.begin(), ids.end(), std::back_inserter(known),
               [this](TokenId id) { return has_token(id); });
  ImmutableSentencePieceText text;
  require(processor_.Decode(known, text.mutable_proto()));
  if (special == DecodeSpecial::kSkip) return text.text();
  std::string out;
  for (size_t i = 0; i < text.pieces_size(); ++i) {
    const auto piece = text.pieces(static_cast<int>(i));
    const auto id = static_cast<int>(piece.id());
    out += is_special(id) ? processor_.IdToPiece(id) : piece.surface();
  }
  return out;
}

std::string SentencePieceTokenizer::token_bytes(TokenId id) const {
  if (!has_token(id) || processor_.IsControl(id)) return {};
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

}  // namespace

std::unique_ptr<Tokenizer> tokenizer_from_sentencepiece_bytes(std::string_view model,
                                                              const std::string& where) {
  if (model.size() > kMaxModelBytes)
    throw Error({.what = "SentencePiece model is too large", .where = where});
  return std::make_unique<SentencePieceTokenizer>(model, Ends{}, where);
}

std::unique_ptr<Tokenizer> tokenizer_from_sentencepiece(const fs::path& file) {
  const MappedFile model(file);
  if (model.text().size() > kMaxModelBytes)
    throw Error({.what = "SentencePiece model is too large", .where = file.string()});
  return std::make_unique<SentencePieceTokenizer>(
      model.text(), read_ends(file.parent_path() / "tokenizer_config.json"), file.string());
}

}  // namespace gradus
