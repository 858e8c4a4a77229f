// SPDX-License-Identifier: Apache-2.0
// A byte-level tokenizer with a few special tokens and merges, and sources made of random ids.
#pragma once

#include <map>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "base/temporary_folder.h"
#include "data/source.h"

namespace gradus {

// Ids 0-255 are bytes, then the special tokens, then the merges (longest match first).
class ToyTokenizer : public Tokenizer {
 public:
  explicit ToyTokenizer(std::vector<std::string> merges = {}) {
    pieces_ = {"<s>", "</s>", "<|im_start|>", "<|im_end|>"};
    specials_ = pieces_.size();
    pieces_.insert(pieces_.end(), merges.begin(), merges.end());
  }

  std::vector<TokenId> encode(std::string_view text, SpecialTokens special) const override {
    return encode_with_spans(text, special).ids;
  }
  Encoding encode_with_spans(std::string_view text, SpecialTokens special) const override {
    Encoding encoding;
    if (special == SpecialTokens::kAdd) {
      encoding.ids.push_back(256);
      encoding.spans.push_back({});
    }
    for (size_t at = 0; at < text.size();) {
      const auto [id, size] = longest_at(text.substr(at));
      encoding.ids.push_back(id);
      encoding.spans.push_back({at, at + size});
      at += size;
    }
    return encoding;
  }
  std::string decode(const std::vector<TokenId>& ids, DecodeSpecial) const override {
    std::string text;
    for (const TokenId id : ids) text += token_bytes(id);
    return text;
  }
  std::string token_bytes(TokenId id) const override {
    return id < 256 ? std::string(1, static_cast<char>(id))
                    : pieces_.at(static_cast<size_t>(id) - 256);
  }
  int64_t vocab_size() const override { return 256 + static_cast<int64_t>(pieces_.size()); }
  std::optional<TokenId> token_to_id(std::string_view token) const override {
    for (size_t i = 0; i < pieces_.size(); ++i) {
      if (pieces_[i] == token) return static_cast<TokenId>(256 + i);
    }
    return std::nullopt;
  }
  std::string id_to_token(TokenId id) const override { return token_bytes(id); }
  bool is_special(TokenId id) const override {
    return id >= 256 && static_cast<size_t>(id) < 256 + specials_;
  }

  bool decodes_by_concatenation() const override { return true; }
  bool is_byte_token(TokenId) const override { return false; }
  bool has_token(TokenId id) const override { return id >= 0 && id < vocab_size(); }

 private:
  std::pair<TokenId, size_t> longest_at(std::string_view text) const {
    std::pair<TokenId, size_t> best{static_cast<unsigned char>(text[0]), 1};
    for (size_t i = 0; i < pieces_.size(); ++i) {
      if (pieces_[i].size() > best.second && text.starts_with(pieces_[i]))
        best = {static_cast<TokenId>(256 + i), pieces_[i].size()};
    }
    return best;
  }

  std::vector<std::string> pieces_;
  size_t specials_;
};

inline TextTools toy_tools(std::optional<ChatTemplate> chat_template = std::nullopt) {
  return {.tokenizer = std::make_unique<ToyTokenizer>(),
          .chat_template = std::move(chat_template),
          .bos_token = "<s>",
          .eos_token = "</s>",
          .tokenizer_digest = "toy"};
}

struct ToyDocument {
  std::vector<int32_t> ids;
  std::vector<bool> supervised;
};

// Lengths in [0, longest], ids that differ from document to document; about half of the marks set
// when `sparse`.
inline std::vector<ToyDocument> random_documents(size_t count, uint64_t longest, uint64_t seed,
                                                 int sparse = 0) {
  std::vector<ToyDocument> documents(count);
  for (size_t d = 0; d < count; ++d) {
    const uint64_t size = random_bits(seed, 1, d) % (longest + 1);
    for (uint64_t i = 0; i < size; ++i) {
      documents[d].ids.push_back(static_cast<int32_t>(random_bits(seed, 2 + d, i) % 1000));
      documents[d].supervised.push_back(!sparse || random_bits(seed, 1000002 + d, i) % 2 == 0);
    }
  }
  return documents;
}

inline std::shared_ptr<const DataSource> toy_source(const TemporaryFolder& folder,
                                                    const SourceRecipe& recipe,
                                                    const std::vector<ToyDocument>& documents) {
  const fs::path path = folder / (recipe.name + ".tokens");
  TokenStoreWriter writer(path, 1000);
  SourceReport report{.name = recipe.name, .licence = {}, .files = {{"toy.jsonl", "0", 0}}};
  for (size_t d = 0; d < documents.size(); ++d) {
    writer.append(documents[d].ids, documents[d].supervised, {0, static_cast<int64_t>(d) + 1});
    report.tokens += static_cast<int64_t>(documents[d].ids.size());
    ++report.documents;
  }
  writer.finish(Json::object());
  return std::make_shared<const DataSource>(recipe, report, std::make_unique<TokenStore>(path));
}

// The message of the gradus::Error that `action` throws; "" when it throws none.
template <class Action>
std::string error_of(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace gradus
