// SPDX-License-Identifier: Apache-2.0
// A held-out set: the same reading, sampling, overflow policy and packing as in training, in the
// order of the documents, each once.
#pragma once

#include <string>
#include <vector>

#include "data/plan.h"

namespace gradus {

class EvaluationSet {
 public:
  // `most_tokens` bounds a batch (a single longer sequence is still a batch of its own).
  EvaluationSet(PackedSource source, int64_t most_tokens);

  const std::string& name() const { return report().name; }
  int64_t batches() const { return static_cast<int64_t>(groups_.size()); }
  PackedBatch batch(int64_t index) const;
  int64_t tokens() const { return sources_[0].tokens(); }
  int64_t supervised_tokens() const { return supervised_tokens_; }
  const SourceReport& report() const { return sources_[0].report(); }
  const DataSource& source() const { return sources_[0].source(); }

 private:
  std::vector<PackedSource> sources_;  // one
  std::vector<SequenceGroup> groups_;
  int64_t supervised_tokens_ = 0;
};

}  // namespace gradus
