// SPDX-License-Identifier: Apache-2.0
#include "data/evaluation_set.h"

namespace gradus {

EvaluationSet::EvaluationSet(PackedSource source, int64_t most_tokens) {
  sources_.push_back(std::move(source));
  SequenceGroup all;
  for (int64_t i = 0; i < sources_[0].sequences(); ++i) {
    all.push_back({0, i});
    supervised_tokens_ += sources_[0].supervised(i);
  }
  groups_ = group_sequences(all, sources_, most_tokens, 0);
}

PackedBatch EvaluationSet::batch(int64_t index) const {
  return make_batch(groups_.at(static_cast<size_t>(index)), sources_);
}

}  // namespace gradus
