// SPDX-License-Identifier: Apache-2.0
#include "data/packing.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "base/error.h"
#include "base/rng.h"

namespace gradus {
namespace {

constexpr int64_t kWindow = 4096;  // pieces sorted by length together
constexpr uint64_t kPieceStream = 0x7069656365;

class Cutter {
 public:
  Cutter(const DataSource& source, int64_t context_length, OverflowPolicy policy,
         SourceReport& report)
      : source_(source), context_(context_length), policy_(policy), report_(report) {
    if (policy == OverflowPolicy::kSplit && source.has_chats())
      throw Error({.what = "on_overflow: split cannot be used for conversations: the second part "
                           "of an answer would be learned without its question",
                   .where = "source " + source.recipe().name,
                   .hint = "set on_overflow of this source to drop or error"});
  }

  std::vector<Piece> run() {
    for (int64_t d = 0; d < source_.store().documents(); ++d) add(d);
    report_.pieces = static_cast<int64_t>(pieces_.size());
    return std::move(pieces_);
  }

 private:
  void add(int64_t document) {
    const auto& store = source_.store();
    const int64_t begin = store.document_begin(document), end = store.document_end(document);
    const int64_t size = end - begin;
    if (size == 0 || store.count_supervised(begin + 1, end) == 0) {
      drop("nothing to learn", size);
    } else if (size <= context_) {
      keep(size);
      push(begin, end, end, document);
    } else if (policy_ == OverflowPolicy::kDrop) {
      drop("longer than context_length", size);
    } else if (policy_ == OverflowPolicy::kError) {
      refuse(document, size);
    } else {
      keep(size);
      split(begin, end, document);
    }
  }

  void drop(const char* reason, int64_t tokens) {
    Dropped& dropped = report_.dropped[reason];
    ++dropped.documents;
    dropped.tokens += tokens;
  }
  void keep(int64_t tokens) {
    ++report_.kept_documents;
    report_.kept_tokens += tokens;
  }

  // The last token needs no place as an input when it already is the target of the piece before.
  void split(int64_t begin, int64_t end, int64_t document) {
    ++report_.split_documents;
    for (int64_t at = begin; at < end - 1; at += context_)
      push(at, std::min(at + context_, end), end, document);
  }

  void push(int64_t begin, int64_t piece_end, int64_t document_end, int64_t document) {
    const int64_t last_target = std::min(piece_end + 1, document_end);
    pieces_.push_back({.begin = begin,
                       .inputs = static_cast<int32_t>(piece_end - begin),
                       .supervised = static_cast<int32_t>(
                           source_.store().count_supervised(begin + 1, last_target)),
                       .document = document});
  }

  [[noreturn]] void refuse(int64_t document, int64_t size) const {
    throw Error({.what = "the sample is longer than context_length",
                 .where = source_.place(document),
                 .expected = cat("at most ", context_, " tokens"),
                 .found = std::to_string(size),
                 .hint = source_.has_chats()
                             ? "set on_overflow: drop, or a larger context_length"
                             : "set on_overflow: split or drop, or a larger context_length"});
  }

  const DataSource& source_;
  int64_t context_;
  OverflowPolicy policy_;
  SourceReport& report_;
  std::vector<Piece> pieces_;
};

using Bins = std::vector<std::vector<int64_t>>;  // indices of pieces

class BestFit {
 public:
  explicit BestFit(int64_t capacity) : capacity_(capacity) {}

  void place(int64_t piece, int64_t size) {
    const auto fits = open_.lower_bound(size);
    size_t bin = bins_.size();
    int64_t room = capacity_;
    if (fits == open_.end()) {
      bins_.emplace_back();
    } else {
      room = fits->first;
      bin = fits->second.back();
      fits->second.pop_back();
      if (fits->second.empty()) open_.erase(fits);
    }
    bins_[bin].push_back(piece);
    if (room > size) open_[room - size].push_back(bin);
  }
  Bins take() { return std::move(bins_); }

 private:
  int64_t capacity_;
  Bins bins_;
  std::map<int64_t, std::vector<size_t>> open_;  // room left → sequences
};

std::vector<int64_t> piece_order(int64_t count, const std::optional<uint64_t>& seed) {
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  if (!seed || count == 0) return order;
  const Permutation shuffle(static_cast<uint64_t>(count), *seed, kPieceStream);
  for (auto& entry : order) entry = static_cast<int64_t>(shuffle(static_cast<uint64_t>(entry)));
  return order;
}

Bins pack(const std::vector<Piece>& pieces, const PackingOptions& options) {
  std::vector<int64_t> order = piece_order(static_cast<int64_t>(pieces.size()), options.seed);
  const auto size = [&](int64_t piece) { return pieces[static_cast<size_t>(piece)].inputs; };
  if (options.packing == Packing::kOneDocument) {
    Bins bins;
    for (const int64_t piece : order) bins.push_back({piece});
    return bins;
  }
  BestFit fit(options.context_length);
  const auto longer = [&](int64_t a, int64_t b) { return size(a) > size(b); };
  for (size_t at = 0; at < order.size(); at += kWindow) {
    const auto first = order.begin() + static_cast<ptrdiff_t>(at);
    const auto last = order.begin() + static_cast<ptrdiff_t>(std::min(at + kWindow, order.size()));
    std::stable_sort(first, last, longer);
    for (auto piece = first; piece != last; ++piece) fit.place(*piece, size(*piece));
  }
  return fit.take();
}

}  // namespace

std::vector<Piece> cut_into_pieces(const DataSource& source, int64_t context_length,
                                   OverflowPolicy policy, SourceReport& report) {
  return Cutter(source, context_length, policy, report).run();
}

int32_t PackedBatch::longest_segment() const {
  int32_t longest = 0;
  for (size_t i = 1; i < segment_starts.size(); ++i)
    longest = std::max(longest, segment_starts[i] - segment_starts[i - 1]);
  return longest;
}

PackedSource::PackedSource(std::shared_ptr<const DataSource> source, const PackingOptions& options)
    : source_(std::move(source)), report_(source_->report()) {
  const OverflowPolicy policy = source_->recipe().on_overflow.value_or(options.on_overflow);
  const auto pieces = cut_into_pieces(*source_, options.context_length, policy, report_);
  if (pieces.empty())
    throw Error({.what = cat("nothing is left after dropping ", report_.all_dropped().documents,
                             " documents"),
                 .where = "source " + source_->recipe().name});
  keep(pieces, pack(pieces, options));
}

void PackedSource::keep(const std::vector<Piece>& pieces, const Bins& bins) {
  starts_ = {0};
  for (const auto& bin : bins) {
    int32_t tokens = 0, supervised = 0;
    for (const int64_t index : bin) {
      const Piece& piece = pieces_.emplace_back(pieces[static_cast<size_t>(index)]);
      tokens += piece.inputs;
      supervised += piece.supervised;
    }
    starts_.push_back(static_cast<int64_t>(pieces_.size()));
    tokens_.push_back(tokens);
    supervised_.push_back(supervised);
    total_tokens_ += tokens;
  }
  report_.sequences = sequences();
}

void PackedSource::append(int64_t sequence, int32_t number, PackedBatch& batch) const {
  const auto first = static_cast<size_t>(starts_[static_cast<size_t>(sequence)]);
  const auto last = static_cast<size_t>(starts_[static_cast<size_t>(sequence) + 1]);
  for (size_t i = first; i < last; ++i) append_piece(pieces_[i], number, batch);
}

void PackedSource::append_piece(const Piece& piece, int32_t number, PackedBatch& batch) const {
  const TokenStore& store = source_->store();
  const int64_t document_end = store.document_end(piece.document);
  if (batch.segment_starts.empty()) batch.segment_starts.push_back(0);
  for (int32_t i = 0; i < piece.inputs; ++i) {
    const int64_t next = piece.begin + i + 1;
    const bool learned = next < document_end && store.supervised(next);
    batch.ids.push_back(store.id(next - 1));
    batch.targets.push_back(learned ? store.id(next) : kIgnoredTarget);
    batch.positions.push_back(i);
  }
  batch.segment_starts.push_back(static_cast<int32_t>(batch.ids.size()));
  batch.origins.push_back({number, piece.document});
  batch.supervised_tokens += piece.supervised;
}

}  // namespace gradus
