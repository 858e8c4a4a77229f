// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/byte_bpe.h"

#include <algorithm>
#include <optional>

#include "text/unicode_classes.h"

namespace gradus {
namespace {

constexpr char32_t kFirstByte = 0x110000;  // symbols of single bytes
constexpr uint32_t kNoNode = PackedTable::kAbsent, kRoot = kNoNode - 1;

unsigned char byte_at(std::string_view text, size_t at) {
  return static_cast<unsigned char>(text[at]);
}

bool continues(unsigned char byte) { return (byte & 0xC0) == 0x80; }

size_t char_bytes(unsigned char lead) {
  return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

// The characters of a token, and the bytes at its ends of characters that it holds a part of. Empty
// when the bytes are no part of any valid UTF-8.
std::u32string symbols_of(std::string_view token) {
  std::u32string out;
  const auto add_bytes = [&](size_t begin, size_t end) {
    for (; begin < end; ++begin) out += kFirstByte + byte_at(token, begin);
  };
  size_t at = 0;
  while (at < token.size() && continues(byte_at(token, at))) ++at;
  if (at > 3) return {};
  add_bytes(0, at);
  const std::string_view rest = token.substr(at);
  const size_t cut = unfinished_utf8(rest);
  const std::string_view whole = rest.substr(0, rest.size() - cut);
  if (find_invalid_utf8(whole)) return {};
  for (size_t i = 0; i < whole.size();) {
    const CodePoint c = decode_utf8(whole, i);
    out += c.value;
    i += c.bytes;
  }
  add_bytes(token.size() - cut, token.size());
  return out;
}

// Which ends of tokens a piece cannot be cut at; a bit per byte.
class Dead {
 public:
  explicit Dead(size_t bytes) : words_(bytes / 64 + 1, 0) {}
  bool at(size_t end) const { return words_[end / 64] >> (end % 64) & 1; }
  void set(size_t end) { words_[end / 64] |= uint64_t{1} << (end % 64); }

 private:
  std::vector<uint64_t> words_;
};

}  // namespace

ByteBpe::ByteBpe(const std::function<std::string(TokenId)>& token_bytes, TokenId end_id,
                 const std::array<TokenId, 256>& byte_ids, const MergeTable& merges)
    : byte_ids_(byte_ids), origins_(static_cast<size_t>(end_id)) {
  if (end_id >= static_cast<TokenId>(kMaxNodes)) return;
  for (const TokenId id : byte_ids_) {
    if (id < 0) {
      lacks_bytes_ = true;
      continue;
    }
    if (origins_[id].rank == 0) return;  // two bytes with one token
    origins_[id] = {.left = -1, .right = -1, .rank = 0, .bytes = 1, .doubtful = false};
  }
  if (!find_origins(merges)) return;
  usable_ = build_trie(token_bytes);
}

// Finds the pair that makes each token, in the order of ranks so that the parts of a token are
// known before it: the one whose parts are ever seen side by side.
bool ByteBpe::find_origins(const MergeTable& merges) {
  struct Entry {
    TokenId left, right;
    Merge merge;
  };
  std::vector<Entry> entries, left_out;
  merges.for_each([&](TokenId l, TokenId r, Merge m) { entries.push_back({l, r, m}); });
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.merge.rank < b.merge.rank; });
  ranks_.reserve(std::min(entries.size(), origins_.size()));
  const auto has_origin = [this](TokenId id) { return origins_[id].rank != kNoRank; };
  std::vector<TokenId> by_rank;
  uint32_t rank = 0;
  for (const Entry& entry : entries) {
    const auto& [left, right, merge] = entry;
    if (origins_[merge.id].rank == 0) return false;  // a byte that is also a merge
    const bool used =
        !has_origin(merge.id) && has_origin(left) && has_origin(right) && compatible(left, right);
    if (!used) {
      left_out.push_back(entry);
      continue;
    }
    origins_[merge.id] = {.left = left,
                          .right = right,
                          .rank = ++rank,
                          .bytes = (origins_[left].bytes + origins_[right].bytes) & 0x7FFFFFFFu,
                          .doubtful = false};
    ranks_.add(static_cast<uint32_t>(left), static_cast<uint32_t>(right), rank);
    by_rank.push_back(merge.id);
  }
  // Some tables rank a pair before one of its parts. Where such a pair can meet, its tokens are not
  // the ones found here; so what holds the part that comes last is left to merging.
  for (const auto& [left, right, merge] : left_out) {
    if (!has_origin(left) || !has_origin(right) || !compatible(left, right)) continue;
    origins_[origins_[left].rank > origins_[right].rank ? left : right].doubtful = true;
  }
  for (const TokenId id : by_rank) {
    Origin& made = origins_[id];
    made.doubtful |= origins_[made.left].doubtful || origins_[made.right].doubtful;
  }
  return true;
}

bool ByteBpe::compatible(TokenId left, TokenId right) const {
  uint32_t limit = kNoRank;
  while (true) {
    if (ranks_.find(static_cast<uint32_t>(left), static_cast<uint32_t>(right)) < limit)
      return false;
    const Origin &a = origins_[left], &b = origins_[right];
    if (a.rank > b.rank) {
      limit = a.rank;  // of equal ranks the left pair is merged first
      left = a.right;
    } else if (b.rank > 0) {
      limit = b.rank + 1;
      right = b.left;
    } else {
      return true;
    }
  }
}

bool ByteBpe::build_trie(const std::function<std::string(TokenId)>& token_bytes) {
  std::vector<std::pair<std::u32string, TokenId>> tokens;
  std::vector<std::string> texts(origins_.size());
  for (TokenId id = 0; id < static_cast<TokenId>(origins_.size()); ++id) {
    if (origins_[id].rank == kNoRank) continue;
    texts[id] = token_bytes(id);
    tokens.emplace_back(symbols_of(texts[id]), id);
  }
  std::sort(tokens.begin(), tokens.end());
  struct Edge {
    uint32_t node;
    char32_t symbol;
    uint32_t child;
  };
  std::vector<Edge> edges;
  std::vector<uint32_t> path;  // nodes of the token before; what starts alike shares them
  auto nodes = static_cast<uint32_t>(origins_.size());
  roots_.assign(kFirstByte + 0x100, kNoNode);
  for (size_t i = 0; i < tokens.size(); ++i) {
    const std::u32string& symbols = tokens[i].first;
    size_t depth = 0;
    while (depth < path.size() && depth < symbols.size() &&
           symbols[depth] == tokens[i - 1].first[depth])
      ++depth;
    path.resize(depth);
    for (; depth < symbols.size(); ++depth) {
      const bool last = depth + 1 == symbols.size();
      const uint32_t node = last ? static_cast<uint32_t>(tokens[i].second) : nodes++;
      if (depth == 0)
        roots_[symbols[0]] = node;
      else
        edges.push_back({path.back(), symbols[depth], node});
      path.push_back(node);
    }
  }
  if (nodes >= kMaxNodes) return false;
  edges_.reserve(edges.size());
  has_partial_.assign(nodes, false);
  for (const auto& [node, symbol, child] : edges) {
    edges_.add(node, symbol, child);
    if (symbol >= kFirstByte) has_partial_[node] = true;
  }
  shorter_.assign(origins_.size(), -1);
  for (size_t id = 0; id < texts.size(); ++id) {
    if (texts[id].size() > 1)
      shorter_[id] = longest(std::string_view(texts[id]).substr(0, texts[id].size() - 1));
  }
  return true;
}

// Follows the characters of a text and remembers the longest token. Tokens that end inside a
// character only count where no longer one is found, so they are looked for last.
class ByteBpe::Walk {
 public:
  Walk(const ByteBpe& bpe, std::string_view text)
      : bpe_(bpe), text_(text), best_(bpe.byte_ids_[byte_at(text, 0)]) {}

  TokenId run() {
    uint32_t node = kRoot;
    size_t at = 0;
    for (; at < text_.size() && continues(byte_at(text_, at)); ++at) {  // starts inside a character
      node = bpe_.child_of(node, kFirstByte + byte_at(text_, at));
      if (node == kNoNode) return best_;
      visit(node);
    }
    while (at < text_.size()) {
      const unsigned char lead = byte_at(text_, at);
      const size_t bytes = char_bytes(lead);
      if (bytes > 1 && (node == kRoot || bpe_.has_partial_[node])) remember(node, at);
      if (at + bytes > text_.size()) break;
      node = bpe_.child_of(node, lead < 0x80 ? lead : decode_inline(text_, at).value);
      if (node == kNoNode) break;
      visit(node);
      at += bytes;
    }
    look_inside();
    return best_;
  }

 private:
  static constexpr size_t kMaxPlaces = 8;

  void visit(uint32_t node) {
    if (!bpe_.is_token(node)) return;
    best_ = static_cast<TokenId>(node);
    count_ = 0;
  }

  void remember(uint32_t node, size_t at) {
    if (count_ == kMaxPlaces) look_inside();
    places_[count_++] = {node, at};
  }

  // Tries the places from left to right; later tokens are longer.
  void look_inside() {
    for (size_t i = 0; i < count_; ++i) {
      auto [node, at] = places_[i];
      for (; at < text_.size(); ++at) {
        node = bpe_.child_of(node, kFirstByte + byte_at(text_, at));
        if (node == kNoNode) break;
        if (bpe_.is_token(node)) best_ = static_cast<TokenId>(node);
      }
    }
    count_ = 0;
  }

  struct Place {
    uint32_t node;
    size_t at;
  };
  const ByteBpe& bpe_;
  std::string_view text_;
  TokenId best_;
  std::array<Place, kMaxPlaces> places_;
  size_t count_ = 0;
};

uint32_t ByteBpe::child_of(uint32_t node, char32_t symbol) const {
  return node == kRoot ? roots_[symbol] : edges_.find(node, symbol);
}

TokenId ByteBpe::longest(std::string_view text) const { return Walk(*this, text).run(); }

bool ByteBpe::lacks_a_byte_of(std::string_view piece) const {
  return std::any_of(piece.begin(), piece.end(),
                     [this](char byte) { return byte_ids_[static_cast<unsigned char>(byte)] < 0; });
}

bool ByteBpe::encode(std::string_view piece, std::vector<TokenId>& out) const {
  if (lacks_bytes_ && lacks_a_byte_of(piece)) return false;
  const size_t begin = out.size();
  std::optional<Dead> dead;  // made when it is first needed
  bool doubtful = false;
  TokenId next = longest(piece);
  for (size_t at = 0; at < piece.size();) {
    const TokenId last = out.size() > begin ? out.back() : -1;
    while (next >= 0) {
      const size_t end = at + origins_[next].bytes;
      if (!(dead && dead->at(end)) && (last < 0 || compatible(last, next))) break;
      next = shorter_[next];
    }
    if (next >= 0) {
      doubtful |= origins_[next].doubtful != 0;
      out.push_back(next);
      at += origins_[next].bytes;
      if (at < piece.size()) next = longest(piece.substr(at));
    } else {  // no token can follow here: shorten the one before
      if (!dead) dead.emplace(piece.size() + 1);
      dead->set(at);
      next = last;
      out.pop_back();
      at -= origins_[last].bytes;
    }
  }
  if (doubtful) out.resize(begin);
  return !doubtful;
}

}  // namespace gradus
