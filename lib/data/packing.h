// SPDX-License-Identifier: Apache-2.0
// From documents to sequences of at most context_length tokens.
//
// Pieces. A document that fits is one piece. A longer one follows the overflow policy: error, drop
// (counted), or split into consecutive pieces. Splitting loses nothing: the last token of a piece
// predicts the first token of the next, so every token of the document but its first is a target
// exactly once, as without splitting.
//
// Packing. Pieces are shuffled, taken in windows, and placed longest first into the fullest
// sequence that still has room (best-fit decreasing; Johnson 1974). Documents see only themselves:
// each is a segment with positions from 0, and no target crosses from one into the next. So the
// loss of packed and of unpacked sequences is the same, and there is no padding.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "data/source.h"

namespace gradus {

constexpr int32_t kIgnoredTarget = -100;

// Part of a document: the inputs [begin, begin + inputs) of the store's tokens.
struct Piece {
  int64_t begin = 0;
  int32_t inputs = 0;
  int32_t supervised = 0;  // targets to be learned
  int64_t document = 0;
};

// All pieces of a source in document order; the kept, split and dropped counts go to `report`.
// Throws gradus::Error naming file and line of a sample that is too long (error), and for
// conversations under the policy split.
std::vector<Piece> cut_into_pieces(const DataSource& source, int64_t context_length,
                                   OverflowPolicy policy, SourceReport& report);

// Where a segment of a batch came from, for naming the documents of a bad step.
struct SegmentOrigin {
  int32_t source = 0;
  int64_t document = 0;
};

// Segments laid end to end, as variable-length attention takes them. T = ids.size().
struct PackedBatch {
  std::vector<int32_t> ids;             // [T]
  std::vector<int32_t> targets;         // [T], the next id of the document, or kIgnoredTarget
  std::vector<int32_t> positions;       // [T], from 0 in each segment
  std::vector<int32_t> segment_starts;  // [segments + 1], the last is T
  std::vector<SegmentOrigin> origins;   // [segments]
  int64_t supervised_tokens = 0;        // targets that are not ignored

  int64_t tokens() const { return static_cast<int64_t>(ids.size()); }
  int32_t longest_segment() const;
};

enum class Packing { kPacked, kOneDocument };

struct PackingOptions {
  int64_t context_length = 1024;
  OverflowPolicy on_overflow = OverflowPolicy::kError;
  Packing packing = Packing::kPacked;
  // Shuffles the pieces before packing; without a seed they keep the order of the documents.
  std::optional<uint64_t> seed = {};
};

// The sequences of one source. Their order here is arbitrary; the plan shuffles them every epoch.
class PackedSource {
 public:
  PackedSource(std::shared_ptr<const DataSource> source, const PackingOptions& options);

  int64_t sequences() const { return static_cast<int64_t>(starts_.size()) - 1; }
  int64_t tokens() const { return total_tokens_; }
  int64_t tokens(int64_t sequence) const { return tokens_[static_cast<size_t>(sequence)]; }
  int64_t supervised(int64_t sequence) const { return supervised_[static_cast<size_t>(sequence)]; }
  // Adds the sequence's segments to `batch`; `number` is this source in the batch's origins.
  void append(int64_t sequence, int32_t number, PackedBatch& batch) const;

  const DataSource& source() const { return *source_; }
  const SourceReport& report() const { return report_; }

 private:
  void append_piece(const Piece& piece, int32_t number, PackedBatch& batch) const;
  void keep(const std::vector<Piece>& pieces, const std::vector<std::vector<int64_t>>& bins);

  std::shared_ptr<const DataSource> source_;
  SourceReport report_;
  std::vector<Piece> pieces_;    // grouped by sequence
  std::vector<int64_t> starts_;  // [sequences + 1] into pieces_
  std::vector<int32_t> tokens_, supervised_;
  int64_t total_tokens_ = 0;
};

}  // namespace gradus
