// SPDX-License-Identifier: Apache-2.0
// A tokenizer for tests: ids 0 to 127 stand for one byte each (so that UTF-8 characters are split
// over tokens), ids from 128 for pairs of such bytes. Id 2 is special.
#pragma once

#include "text/tokenizer.h"
#include "text/unicode.h"

namespace gradus {

class ToyTokenizer : public Tokenizer {
 public:
  std::vector<TokenId> encode(std::string_view text, SpecialTokens) const override {
    std::vector<TokenId> ids;
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c) % 128);
    return ids;
  }
  Encoding encode_with_spans(std::string_view text, SpecialTokens special) const override {
    Encoding out{.ids = encode(text, special), .spans = {}};
    for (size_t i = 0; i < text.size(); ++i) out.spans.push_back({i, i + 1});
    return out;
  }
  std::string decode(const std::vector<TokenId>& ids, DecodeSpecial special) const override {
    std::string bytes;
    for (const TokenId id : ids) {
      if (special == DecodeSpecial::kKeep || !is_special(id)) bytes += token_bytes(id);
    }
    return utf8_lossy(bytes);
  }
  // Low ids are letters and the bytes of "é" and "世", so that random ids give broken and whole
  // characters.
  std::string token_bytes(TokenId id) const override {
    static const std::string kBytes = "abcd \xC3\xA9\xE4\xB8\x96";
    const auto at = [](TokenId i) { return kBytes[static_cast<size_t>(i) % kBytes.size()]; };
    if (id < 128) return std::string(1, at(id));
    return {at(id), at(id / 3)};
  }
  int64_t vocab_size() const override { return 160; }
  std::optional<TokenId> token_to_id(std::string_view) const override { return std::nullopt; }
  std::string id_to_token(TokenId id) const override { return id == 2 ? "</s>" : token_bytes(id); }
  bool is_special(TokenId id) const override { return id == 2; }
  bool decodes_by_concatenation() const override { return true; }
  bool is_byte_token(TokenId) const override { return false; }
};

}  // namespace gradus
