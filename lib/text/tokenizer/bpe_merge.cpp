// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/bpe_merge.h"

#include <algorithm>
#include <array>
#include <queue>

namespace gradus {
namespace {

constexpr size_t kShortPiece = 96;  // symbols merged by searching an array

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

}  // namespace

void merge_symbols(const MergeTable& table, std::vector<Symbol>& symbols, size_t begin) {
  const size_t count = symbols.size() - begin;
  if (count > kShortPiece) return LongMerge(table, symbols, begin).run();
  symbols.resize(begin + merge_short(table, symbols.data() + begin, count));
}

}  // namespace gradus
