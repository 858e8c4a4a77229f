// SPDX-License-Identifier: Apache-2.0
// Byte-pair encoding as the `tokenizers` package does it: by merging (bpe_merge.h), or, where
// pieces are bytes and the merges allow it, in linear time (byte_bpe.h). Pieces of text are cut
// where no merge can cross (piece_borders.h). The tokens of short words are remembered per thread.
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <mutex>
#include <optional>

#include "base/error.h"
#include "text/tokenizer/bpe_merge.h"
#include "text/tokenizer/byte_bpe.h"
#include "text/tokenizer/byte_chars.h"
#include "text/tokenizer/component.h"
#include "text/tokenizer/decoder.h"
#include "text/tokenizer/model.h"
#include "text/tokenizer/piece_borders.h"
#include "text/tokenizer/word_cache.h"
#include "text/unicode.h"

namespace gradus {
namespace {

uint32_t next_owner() {
  static std::atomic<uint32_t> last{0};
  return ++last;
}

struct BpeOptions {
  std::string unknown, prefix, suffix;
  bool fuse_unknown = false, byte_fallback = false, ignore_merges = false, ranks_by_token = false;
};

class Bpe : public TokenModel {
 public:
  Bpe(Vocab vocab, BpeOptions options, PieceForm form, std::string where)
      : vocab_(std::move(vocab)),
        options_(std::move(options)),
        form_(form),
        where_(std::move(where)),
        unknown_(options_.unknown.empty() ? -1 : vocab_.find(options_.unknown)) {
    for (int byte = 0; byte < 256; ++byte) {
      char name[8];
      std::snprintf(name, sizeof name, "<0x%02X>", byte);
      const auto b = static_cast<unsigned char>(byte);
      byte_ids_[b] = vocab_.find(form_ == PieceForm::kBytes ? byte_char(b) : name);
    }
    if (options_.ignore_merges) index_pieces();
  }

  const Vocab& vocab() const override { return vocab_; }
  void read_merges(const Json& merges);

  void tokenize(std::string_view piece, std::vector<Symbol>& out) const override {
    if (options_.ignore_merges) {
      const TokenId id = pieces_.find(piece);
      if (id >= 0) {
        out.push_back({id, static_cast<uint32_t>(piece.size())});
        return;
      }
    }
    merge_piece(piece, out);
  }

  void tokenize_words(std::string_view text, const std::vector<uint32_t>& ends,
                      std::vector<TokenId>& out) const override;

 private:
  void index_pieces();
  void add_merge(std::string_view left, std::string_view right, uint32_t rank);
  TokenId require(std::string_view token, uint32_t rank) const;

  void merge_piece(std::string_view piece, std::vector<Symbol>& out) const {
    const size_t begin = out.size();
    if (form_ == PieceForm::kBytes)
      start_from_bytes(piece, out);
    else
      start_from_characters(piece, out);
    merge_symbols(merges_, out, begin);
  }

  // The tokens of a word, without their sizes.
  void encode_word(std::string_view word, std::vector<TokenId>& out) const;
  // tokenize_words() for words that are worth remembering.
  void encode_words(std::string_view text, const std::vector<uint32_t>& ends,
                    std::vector<TokenId>& out) const;
  const ByteBpe& byte_bpe() const;
  bool may_cut_pieces() const;

  // Unknown characters that wait to be written as one unknown token. Without an unknown token they
  // vanish, as in `tokenizers`; their bytes then count to the token after them.
  struct Unknown {
    bool waiting = false;
    uint32_t bytes = 0;
  };
  void flush(Unknown& unknown, std::vector<Symbol>& out) const {
    if (!unknown.waiting) return;
    out.push_back({unknown_, unknown.bytes});
    unknown = {};
  }
  void add_known(TokenId id, uint32_t bytes, Unknown& unknown, std::vector<Symbol>& out) const {
    flush(unknown, out);
    out.push_back({id, bytes + unknown.bytes});
    unknown = {};
  }
  void add_unknown(Unknown& unknown, uint32_t bytes, std::vector<Symbol>& out) const {
    if (options_.unknown.empty()) {
      unknown.bytes += bytes;
      return;
    }
    if (unknown_ < 0)
      throw Error({.what = "text has unknown characters and unk_token '" +
                           printable(options_.unknown) + "' is not in the vocabulary",
                   .where = where_});
    if (!options_.fuse_unknown) flush(unknown, out);
    unknown = {true, unknown.bytes + bytes};
  }

  void start_from_bytes(std::string_view piece, std::vector<Symbol>& out) const {
    Unknown unknown;
    for (const char c : piece) {
      const TokenId id = byte_ids_[static_cast<unsigned char>(c)];
      if (id < 0) {
        add_unknown(unknown, 1, out);
        continue;
      }
      add_known(id, 1, unknown, out);
    }
    flush(unknown, out);
  }

  void start_from_characters(std::string_view piece, std::vector<Symbol>& out) const {
    Unknown unknown;
    std::string decorated;
    for (size_t at = 0; at < piece.size();) {
      const uint32_t bytes = decode_utf8(piece, at).bytes;
      std::string_view text = piece.substr(at, bytes);
      const bool first = at == 0, last = at + bytes == piece.size();
      at += bytes;
      if ((!first && !options_.prefix.empty()) || (last && !options_.suffix.empty())) {
        decorated = first ? "" : options_.prefix;
        decorated += text;
        if (last) decorated += options_.suffix;
        text = decorated;
      }
      const TokenId id = vocab_.find(text);
      if (id >= 0) {
        add_known(id, bytes, unknown, out);
      } else if (!options_.byte_fallback || !add_bytes(text, out)) {
        add_unknown(unknown, bytes, out);
      }
    }
    flush(unknown, out);
  }

  // Writes a character as <0xXX> tokens; false when one of them is missing.
  bool add_bytes(std::string_view text, std::vector<Symbol>& out) const {
    for (const char c : text) {
      if (byte_ids_[static_cast<unsigned char>(c)] < 0) return false;
    }
    for (const char c : text) out.push_back({byte_ids_[static_cast<unsigned char>(c)], 1});
    return true;
  }

  Vocab vocab_;
  BpeOptions options_;
  PieceForm form_;
  std::string where_;
  TokenId unknown_;
  uint32_t owner_ = next_owner();
  std::array<TokenId, 256> byte_ids_;
  MergeTable merges_;
  StringIndex pieces_;  // what a whole piece may be, in the form in which pieces come
  mutable std::once_flag byte_bpe_made_;
  mutable std::optional<ByteBpe> byte_bpe_;
  mutable StringIndex unmade_;           // of pieces_, the tokens that merging never gives
  std::optional<PieceBorders> borders_;  // of text, where pieces may be cut
};

// Made when the first word that is not remembered needs it.
const ByteBpe& Bpe::byte_bpe() const {
  std::call_once(byte_bpe_made_, [this] {
    const auto bytes_of = [this](TokenId id) {
      return chars_to_bytes(vocab_.token(id)).value_or(std::string());
    };
    byte_bpe_.emplace(bytes_of, vocab_.end_id(), byte_ids_, merges_);
    for (size_t i = 0; i < pieces_.size(); ++i) {
      if (!byte_bpe_->makes(pieces_.id(i))) unmade_.add(pieces_.text(i), pieces_.id(i));
    }
  });
  return *byte_bpe_;
}

void Bpe::encode_word(std::string_view word, std::vector<TokenId>& out) const {
  if (form_ == PieceForm::kBytes && byte_bpe().usable()) {
    const TokenId id = unmade_.size() == 0 ? -1 : unmade_.find(word);
    if (id >= 0) return out.push_back(id);
    if (byte_bpe().encode(word, out)) return;
  }
  if (options_.ignore_merges) {
    const TokenId id = pieces_.find(word);
    if (id >= 0) return out.push_back(id);
  }
  thread_local std::vector<Symbol> symbols;
  symbols.clear();
  merge_piece(word, symbols);
  for (const Symbol& symbol : symbols) out.push_back(symbol.id);
}

// Whether the parts of a piece may be encoded one by one: nothing depends on the whole of it, and
// what stands for an unknown character keeps its neighbours apart.
bool Bpe::may_cut_pieces() const {
  // Of a file with some bytes only, `tokenizers` writes unknown characters after the bytes that
  // follow them.
  const bool all_bytes = std::find(byte_ids_.begin(), byte_ids_.end(), -1) == byte_ids_.end();
  const bool stays_apart =
      options_.byte_fallback ? all_bytes : !options_.unknown.empty() && !options_.fuse_unknown;
  if (form_ != PieceForm::kText || options_.ignore_merges || !options_.prefix.empty() ||
      !options_.suffix.empty() || !stays_apart)
    return false;
  const auto stands_for_unknown = [this](TokenId id) {
    return id == unknown_ || (options_.byte_fallback && byte_token(vocab_.token(id)) >= 0);
  };
  bool merged = false;
  merges_.for_each([&](TokenId left, TokenId right, Merge) {
    merged |= stands_for_unknown(left) || stands_for_unknown(right);
  });
  return !merged;
}

void Bpe::tokenize_words(std::string_view text, const std::vector<uint32_t>& ends,
                         std::vector<TokenId>& out) const {
  if (form_ == PieceForm::kBytes) return encode_words(text, ends, out);
  if (!borders_) return TokenModel::tokenize_words(text, ends, out);
  thread_local std::vector<uint32_t> cuts;
  cuts.clear();
  uint32_t begin = 0;
  for (const uint32_t end : ends) {
    const size_t first = cuts.size();
    borders_->cut(text.substr(begin, end - begin), cuts);
    for (size_t i = first; i < cuts.size(); ++i) cuts[i] += begin;
    begin = end;
  }
  encode_words(text, cuts, out);
}

void Bpe::encode_words(std::string_view text, const std::vector<uint32_t>& ends,
                       std::vector<TokenId>& out) const {
  WordCache& cache = WordCache::of_this_thread();
  size_t begin = 0;
  for (const uint32_t end : ends) {
    const size_t bytes = end - begin;
    if (bytes > kCachedWordBytes) {
      encode_word(text.substr(begin, bytes), out);
    } else {
      const WordKey key = WordKey::of(text, begin, end);
      WordCache::Slot& slot = cache.slot(key, owner_);
      if (slot.holds(key, owner_, bytes)) {
        out.insert(out.end(), slot.ids, slot.ids + slot.count);
      } else {
        const size_t before = out.size();
        encode_word(text.substr(begin, bytes), out);
        const size_t count = out.size() - before;
        if (count <= WordCache::kMaxTokens) {
          slot = {.key = key,
                  .owner = owner_,
                  .bytes = static_cast<uint16_t>(bytes),
                  .count = static_cast<uint16_t>(count),
                  .ids = {}};
          std::copy(out.end() - static_cast<std::ptrdiff_t>(count), out.end(), slot.ids);
        }
      }
    }
    begin = end;
  }
}

void Bpe::index_pieces() {
  pieces_.reserve(vocab_.size());
  for (TokenId id = 0; id < vocab_.end_id(); ++id) {
    if (!vocab_.has(id)) continue;
    const std::string_view token = vocab_.token(id);
    if (form_ == PieceForm::kText) {
      pieces_.add(token, id);
    } else if (const auto bytes = chars_to_bytes(token)) {
      pieces_.add(*bytes, id);
    }
  }
}

TokenId Bpe::require(std::string_view token, uint32_t rank) const {
  const TokenId id = vocab_.find(token);
  if (id < 0)
    throw Error({.what = cat("merge names the unknown token '", printable(token), "'"),
                 .where = cat(where_, ".merges[", rank, "]")});
  return id;
}

void Bpe::add_merge(std::string_view left, std::string_view right, uint32_t rank) {
  const TokenId left_id = require(left, rank), right_id = require(right, rank);
  std::string merged(left);
  merged += right.substr(std::min(options_.prefix.size(), right.size()));
  const TokenId id = require(merged, rank);
  merges_.set(left_id, right_id, {options_.ranks_by_token ? static_cast<uint32_t>(id) : rank, id});
}

void Bpe::read_merges(const Json& merges) {
  merges_.reserve(merges.size() + 1);
  uint32_t rank = 0;
  for (const Json& merge : merges) {
    const bool pair =
        merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string();
    if (pair) {
      add_merge(merge[0].get_ref<const std::string&>(), merge[1].get_ref<const std::string&>(),
                rank++);
      continue;
    }
    const std::string_view line =
        merge.is_string() ? std::string_view(merge.get_ref<const std::string&>()) : "";
    if (line.starts_with("#version")) continue;
    const size_t space = line.find(' ');
    if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos)
      throw Error({.what = "merge is not a pair of tokens",
                   .where = cat(where_, ".merges[", rank, "]"),
                   .expected = "\"a b\" or [\"a\", \"b\"]"});
    add_merge(line.substr(0, space), line.substr(space + 1), rank++);
  }
  if (may_cut_pieces()) borders_.emplace(merges_, [this](TokenId id) { return vocab_.token(id); });
}

std::string optional_string(const Json& model, const char* key, const std::string& where) {
  return json_get<std::string>(model, key, std::string(), where);
}

}  // namespace

std::unique_ptr<TokenModel> read_bpe(const Json& model, PieceForm form, const std::string& where) {
  if (json_get<double>(model, "dropout", 0.0, where) != 0.0)
    throw Error({.what = "dropout makes the tokens of a text random and is not supported",
                 .where = where + ".dropout",
                 .expected = "null or 0"});
  BpeOptions options{.unknown = optional_string(model, "unk_token", where),
                     .prefix = optional_string(model, "continuing_subword_prefix", where),
                     .suffix = optional_string(model, "end_of_word_suffix", where),
                     .fuse_unknown = json_get<bool>(model, "fuse_unk", false, where),
                     .byte_fallback = json_get<bool>(model, "byte_fallback", false, where),
                     .ignore_merges = json_get<bool>(model, "ignore_merges", false, where),
                     .ranks_by_token = json_get<bool>(model, "ranks_by_token", false, where)};
  auto bpe =
      std::make_unique<Bpe>(Vocab::read(json_member(model, "vocab", where), where + ".vocab"),
                            std::move(options), form, where);
  bpe->read_merges(json_array(model, "merges", where));
  return bpe;
}

}  // namespace gradus
