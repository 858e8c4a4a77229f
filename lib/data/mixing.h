// SPDX-License-Identifier: Apache-2.0
// An endless order of sequences from several sources.
//
// SequenceStream: the sequences of one or more sources as one pool, reshuffled every epoch; any
// position in O(1). Mixer: takes from several streams so that each one's share of the tokens so far
// is never more than about one sequence away from its weight. The rule is WF2Q (Bennett and Zhang
// 1996): among the streams that are not ahead of their share, the one whose next sequence would be
// finished first.
#pragma once

#include <cstdint>
#include <vector>

#include "data/packing.h"

namespace gradus {

struct SequenceRef {
  int32_t source = 0;
  int64_t sequence = 0;  // in that source
};

class SequenceStream {
 public:
  // `numbers` are the sources of this pool in `sources`; the order depends on seed and `stream`.
  SequenceStream(const std::vector<PackedSource>& sources, std::vector<int32_t> numbers,
                 uint64_t seed, uint64_t stream);

  int64_t size() const { return first_.back(); }  // sequences of one epoch
  int64_t tokens() const { return tokens_; }      // of one epoch
  SequenceRef at(int64_t index) const;            // index counts through all epochs

 private:
  std::vector<int32_t> numbers_;
  std::vector<int64_t> first_;  // [sources + 1] first sequence of each in the pool
  int64_t tokens_ = 0;
  uint64_t seed_, stream_;
};

class Mixer {
 public:
  // Where the order stands: per stream, sequences and tokens taken.
  struct State {
    std::vector<int64_t> taken, tokens;
  };

  // Weights are positive and sum to 1. Both vectors must outlive the mixer.
  Mixer(const std::vector<PackedSource>& sources, const std::vector<SequenceStream>& streams,
        std::vector<double> weights);

  State start() const;
  // The stream that comes next; does not change the state.
  size_t choose(const State& state) const;
  SequenceRef peek(const State& state, size_t stream) const;
  int64_t tokens_of(const SequenceRef& ref) const;
  // Takes the sequence `ref` of `stream`.
  void take(State& state, size_t stream, const SequenceRef& ref) const;

 private:
  const std::vector<PackedSource>& sources_;
  const std::vector<SequenceStream>& streams_;
  std::vector<double> weights_;
};

}  // namespace gradus
