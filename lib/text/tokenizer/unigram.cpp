// SPDX-License-Identifier: Apache-2.0
// Unigram: of all ways to cut a piece into tokens, the one with the best sum of scores (Viterbi),
// as the `tokenizers` package finds it, ties included.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>

#include "base/error.h"
#include "text/tokenizer/component.h"
#include "text/tokenizer/model.h"
#include "text/tokenizer/packed_table.h"
#include "text/unicode.h"

namespace gradus {
namespace {

constexpr double kUnknownPenalty = 10.0;
constexpr size_t kMaxTokenBytes = 1 << 12;
constexpr uint32_t kRoot = 0;

// The decimal number that `score` was read from, as serde_json reads it for `tokenizers`: digits
// and power of ten are rounded apart, so that the last bit may differ. Ties between paths show it.
double as_tokenizers_reads(double score) {
  char text[32];
  const auto end =
      std::to_chars(text, text + sizeof text, std::fabs(score), std::chars_format::scientific);
  uint64_t digits = 0;
  int exponent = 0, after_point = 0;
  bool point = false;
  for (const char* c = text; c != end.ptr; ++c) {
    if (*c == 'e') {
      std::from_chars(c + 1 + (c[1] == '+'), end.ptr, exponent);
      break;
    }
    if (*c == '.') point = true;
    if (*c == '.') continue;
    digits = digits * 10 + static_cast<uint64_t>(*c - '0');
    after_point += point;
  }
  exponent -= after_point;
  if (exponent < -300 || exponent > 300) return score;
  const std::string one = cat("1e", std::abs(exponent));
  double power = 1;
  std::from_chars(one.data(), one.data() + one.size(), power);
  const auto whole = static_cast<double>(digits);
  return std::copysign(exponent < 0 ? whole / power : whole * power, score);
}

class Unigram : public TokenModel {
 public:
  Unigram(const Json& model, const std::string& where) : where_(where) {
    read_vocab(json_array(model, "vocab", where));
    if (model.contains("unk_id") && !model.at("unk_id").is_null()) {
      const auto id = json_get<int64_t>(model, "unk_id", where);
      if (id < 0 || id >= vocab_.end_id())
        throw Error({.what = "unk_id is not in the vocabulary",
                     .where = where,
                     .expected = cat("0 to ", vocab_.end_id() - 1),
                     .found = cat(id)});
      unknown_ = static_cast<TokenId>(id);
    }
    byte_fallback_ = json_get<bool>(model, "byte_fallback", false, where);
    for (int byte = 0; byte < 256; ++byte) {
      char name[8];
      std::snprintf(name, sizeof name, "<0x%02X>", byte);
      byte_ids_[static_cast<size_t>(byte)] = vocab_.find(name);
    }
    build_trie();
  }

  const Vocab& vocab() const override { return vocab_; }
  void tokenize(std::string_view piece, std::vector<Symbol>& out) const override;

 private:
  // The best way to reach a place in the piece.
  struct Place {
    double score = 0;
    size_t from = SIZE_MAX;  // SIZE_MAX: not reached
    TokenId id = -1;
  };

  void read_vocab(const Json& list);
  void build_trie();
  std::vector<Place> best_paths(std::string_view piece) const;
  void add_text(std::string_view text, std::vector<Symbol>& out) const;
  TokenId require_unknown() const {
    if (unknown_ >= 0) return unknown_;
    throw Error(
        {.what = "text has unknown characters and the model has no unk_id", .where = where_});
  }

  std::string where_;
  Vocab vocab_;
  std::vector<double> scores_;
  double unknown_score_ = 0;
  TokenId unknown_ = -1;
  bool byte_fallback_ = false;
  std::array<TokenId, 256> byte_ids_;
  PackedTable edges_;            // (node, byte) to node
  std::vector<TokenId> tokens_;  // by node; -1: none ends here
};

void Unigram::read_vocab(const Json& list) {
  const std::string place = where_ + ".vocab";
  double least = std::numeric_limits<double>::infinity();
  for (const Json& entry : list) {
    const bool pair =
        entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_number();
    if (!pair || entry[0].get_ref<const std::string&>().size() > kMaxTokenBytes)
      throw Error({.what = "entry is not a token and its score",
                   .where = cat(place, "[", scores_.size(), "]"),
                   .expected = "[\"token\", -1.5]"});
    vocab_.add(entry[0].get_ref<const std::string&>(), static_cast<TokenId>(scores_.size()), place);
    scores_.push_back(as_tokenizers_reads(entry[1].get<double>()));
    least = std::min(least, scores_.back());
  }
  if (scores_.empty()) throw Error({.what = "vocabulary is empty", .where = place});
  unknown_score_ = least - kUnknownPenalty;
}

void Unigram::build_trie() {
  size_t bytes = 0;
  for (TokenId id = 0; id < vocab_.end_id(); ++id) bytes += vocab_.token(id).size();
  if (bytes >= PackedTable::kLimit)
    throw Error({.what = "vocabulary is too long",
                 .where = where_ + ".vocab",
                 .expected = cat("fewer than ", PackedTable::kLimit, " bytes of tokens")});
  edges_.reserve(bytes);
  tokens_.push_back(-1);
  for (TokenId id = 0; id < vocab_.end_id(); ++id) {
    uint32_t node = kRoot;
    for (const char c : vocab_.token(id)) {
      const auto byte = static_cast<unsigned char>(c);
      uint32_t child = edges_.find(node, byte);
      if (child == PackedTable::kAbsent) {
        child = static_cast<uint32_t>(tokens_.size());
        edges_.add(node, byte, child);
        tokens_.push_back(-1);
      }
      node = child;
    }
    if (node != kRoot) tokens_[node] = id;
  }
}

std::vector<Unigram::Place> Unigram::best_paths(std::string_view piece) const {
  std::vector<Place> places(piece.size() + 1);
  const auto wins = [&](size_t to, double score) {
    return places[to].from == SIZE_MAX || score > places[to].score;
  };
  for (size_t from = 0; from < piece.size();) {
    const double score = places[from].score;
    const size_t first = decode_utf8(piece, from).bytes;
    bool has_first = false;
    uint32_t node = kRoot;
    for (size_t to = from; to < piece.size();) {
      node = edges_.find(node, static_cast<unsigned char>(piece[to++]));
      if (node == PackedTable::kAbsent) break;
      const TokenId id = tokens_[node];
      if (id < 0) continue;
      const double offered = scores_[static_cast<size_t>(id)] + score;
      if (wins(to, offered)) places[to] = {offered, from, id};
      has_first |= to - from == first;
    }
    if (!has_first && wins(from + first, unknown_score_ + score))
      places[from + first] = {unknown_score_ + score, from, require_unknown()};
    from += first;
  }
  return places;
}

void Unigram::add_text(std::string_view text, std::vector<Symbol>& out) const {
  const TokenId id = vocab_.find(text);
  if (id >= 0) return out.push_back({id, static_cast<uint32_t>(text.size())});
  const auto id_of = [this](char c) { return byte_ids_[static_cast<unsigned char>(c)]; };
  if (byte_fallback_ &&
      std::all_of(text.begin(), text.end(), [&](char c) { return id_of(c) >= 0; })) {
    for (const char c : text) out.push_back({id_of(c), 1});
    return;
  }
  out.push_back({require_unknown(), static_cast<uint32_t>(text.size())});
}

// Neighbouring unknown characters are one unknown text.
void Unigram::tokenize(std::string_view piece, std::vector<Symbol>& out) const {
  const std::vector<Place> places = best_paths(piece);
  std::vector<std::pair<size_t, size_t>> parts;  // from the last to the first
  bool was_unknown = false;
  for (size_t end = piece.size(); end > 0;) {
    const Place& place = places[end];
    const bool unknown = unknown_ >= 0 && place.id == unknown_;
    if (unknown && was_unknown)
      parts.back().first = place.from;
    else
      parts.push_back({place.from, end});
    was_unknown = unknown;
    end = place.from;
  }
  for (auto part = parts.rbegin(); part != parts.rend(); ++part)
    add_text(piece.substr(part->first, part->second - part->first), out);
}

}  // namespace

std::unique_ptr<TokenModel> read_unigram(const Json& model, const std::string& where) {
  return std::make_unique<Unigram>(model, where);
}

}  // namespace gradus
