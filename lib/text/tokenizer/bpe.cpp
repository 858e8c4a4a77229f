// SPDX-License-Identifier: Apache-2.0
// Byte-pair encoding as the `tokenizers` package does it: the pair of neighbours with the lowest
// rank is merged, the leftmost first, until no pair has a rank. Short pieces search a small array,
// long ones use a heap (n log n), and the results of short pieces are remembered per thread.
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <queue>

#include "base/error.h"
#include "base/hash.h"
#include "text/tokenizer/byte_chars.h"
#include "text/tokenizer/component.h"
#include "text/tokenizer/model.h"
#include "text/unicode.h"

namespace gradus {
namespace {

constexpr uint32_t kNoRank = UINT32_MAX;
constexpr size_t kShortPiece = 96;  // symbols merged by searching an array
constexpr size_t kCachedPieceBytes = 64;
constexpr size_t kCacheSlots = 1 << 14;

struct Merge {
  uint32_t rank = kNoRank;
  TokenId id = -1;
};

// (left id, right id) to merge, with open addressing.
class MergeTable {
 public:
  void reserve(size_t count) {
    size_t slots = 16;
    while (slots < count * 2) slots *= 2;
    slots_.assign(slots, {});
    shift_ = 64 - static_cast<int>(std::countr_zero(slots));
  }

  // A pair given twice keeps the later rank.
  void set(TokenId left, TokenId right, Merge merge) {
    Slot& slot = slots_[slot_of(key_of(left, right))];
    slot = {key_of(left, right), merge};
  }

  Merge find(TokenId left, TokenId right) const {
    return slots_[slot_of(key_of(left, right))].merge;
  }

 private:
  static constexpr uint64_t kFree = UINT64_MAX;
  struct Slot {
    uint64_t key = kFree;
    Merge merge;
  };

  static uint64_t key_of(TokenId left, TokenId right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  size_t slot_of(uint64_t key) const {
    const size_t mask = slots_.size() - 1;
    size_t slot = (key * 0x9E3779B97F4A7C15ull) >> shift_;
    while (slots_[slot].key != kFree && slots_[slot].key != key) slot = (slot + 1) & mask;
    return slot;
  }

  std::vector<Slot> slots_;
  int shift_ = 60;
};

// Merges at most kShortPiece symbols in place; returns how many are left.
size_t merge_short(const MergeTable& table, Symbol* symbols, size_t count) {
  std::array<Merge, kShortPiece> merges;  // of symbols i and i + 1
  for (size_t i = 0; i + 1 < count; ++i) merges[i] = table.find(symbols[i].id, symbols[i + 1].id);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i) {
      if (merges[i].rank < merges[best].rank) best = i;
    }
    if (merges[best].rank == kNoRank) break;
    symbols[best] = {merges[best].id, symbols[best].bytes + symbols[best + 1].bytes};
    --count;
    std::move(symbols + best + 2, symbols + count + 1, symbols + best + 1);
    std::move(merges.begin() + static_cast<int64_t>(best) + 1,
              merges.begin() + static_cast<int64_t>(count),
              merges.begin() + static_cast<int64_t>(best));
    if (best + 1 < count) merges[best] = table.find(symbols[best].id, symbols[best + 1].id);
    if (best > 0) merges[best - 1] = table.find(symbols[best - 1].id, symbols[best].id);
  }
  return count;
}

// The same for any length. Symbols form a linked list; a merged-away symbol has id -1.
class LongMerge {
 public:
  LongMerge(const MergeTable& table, std::vector<Symbol>& symbols, size_t begin)
      : table_(table), symbols_(symbols), begin_(begin), count_(symbols.size() - begin) {}

  void run() {
    previous_.resize(count_);
    next_.resize(count_);
    for (size_t i = 0; i < count_; ++i) {
      previous_[i] = i == 0 ? kNone : i - 1;
      next_[i] = i + 1 == count_ ? kNone : i + 1;
    }
    for (size_t i = 0; i + 1 < count_; ++i) offer(i);
    while (!queue_.empty()) {
      const Candidate top = queue_.top();
      queue_.pop();
      apply(top);
    }
    std::erase_if(symbols_, [](const Symbol& symbol) { return symbol.id < 0; });
  }

 private:
  static constexpr size_t kNone = SIZE_MAX;
  struct Candidate {
    uint32_t rank;
    size_t at;
    TokenId id;
    bool operator>(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : at > other.at;
    }
  };

  Symbol& symbol(size_t i) { return symbols_[begin_ + i]; }

  void offer(size_t at) {
    const Merge merge = table_.find(symbol(at).id, symbol(next_[at]).id);
    if (merge.rank != kNoRank) queue_.push({merge.rank, at, merge.id});
  }

  void apply(const Candidate& top) {
    const size_t right = symbol(top.at).id < 0 ? kNone : next_[top.at];
    if (right == kNone) return;
    if (table_.find(symbol(top.at).id, symbol(right).id).id != top.id) return;  // out of date
    symbol(top.at) = {top.id, symbol(top.at).bytes + symbol(right).bytes};
    symbol(right).id = -1;
    next_[top.at] = next_[right];
    if (next_[top.at] != kNone) {
      previous_[next_[top.at]] = top.at;
      offer(top.at);
    }
    if (previous_[top.at] != kNone) offer(previous_[top.at]);
  }

  const MergeTable& table_;
  std::vector<Symbol>& symbols_;
  size_t begin_, count_;
  std::vector<size_t> previous_, next_;
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue_;
};

// Tokens of recent short pieces of one thread; a newer piece replaces an older one in its slot.
class PieceCache {
 public:
  struct Entry {
    uint64_t owner = 0;
    std::string piece;
    std::vector<Symbol> symbols;
  };

  PieceCache() : entries_(kCacheSlots) {}
  Entry& slot(uint64_t owner, std::string_view piece) {
    return entries_[(xxh3(piece) ^ owner * 0x9E3779B97F4A7C15ull) % kCacheSlots];
  }

 private:
  std::vector<Entry> entries_;
};

PieceCache& piece_cache() {
  thread_local PieceCache cache;
  return cache;
}

uint64_t next_owner() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

struct BpeOptions {
  std::string unknown, prefix, suffix;
  bool fuse_unknown = false, byte_fallback = false, ignore_merges = false;
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
    if (piece.size() > kCachedPieceBytes) return merge_piece(piece, out);
    PieceCache::Entry& entry = piece_cache().slot(owner_, piece);
    if (entry.owner != owner_ || entry.piece != piece) {
      entry.owner = 0;  // nothing is remembered if merging throws
      entry.symbols.clear();
      merge_piece(piece, entry.symbols);
      entry.piece = piece;
      entry.owner = owner_;
    }
    out.insert(out.end(), entry.symbols.begin(), entry.symbols.end());
  }

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
    const size_t count = out.size() - begin;
    if (count > kShortPiece) return LongMerge(merges_, out, begin).run();
    out.resize(begin + merge_short(merges_, out.data() + begin, count));
  }

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
  uint64_t owner_ = next_owner();
  std::array<TokenId, 256> byte_ids_;
  MergeTable merges_;
  StringIndex pieces_;  // what a whole piece may be, in the form in which pieces come
};

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
  merges_.set(left_id, right_id, {rank, require(merged, rank)});
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
                     .ignore_merges = json_get<bool>(model, "ignore_merges", false, where)};
  auto bpe =
      std::make_unique<Bpe>(Vocab::read(json_member(model, "vocab", where), where + ".vocab"),
                            std::move(options), form, where);
  bpe->read_merges(json_array(model, "merges", where));
  return bpe;
}

}  // namespace gradus
