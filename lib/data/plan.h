// SPDX-License-Identifier: Apache-2.0
// The whole training run as data: which sequences make which optimizer step. The order is a
// function of the seed and the recipe alone. It does not depend on micro-batches, ranks or
// threads, and any step is reached in O(1).
//
// The steps are cut from one global order. With tokens_per_step, step s ends at the sequence
// boundary nearest to (s + 1) x tokens_per_step, so rounding never adds up; every step has at least
// one sequence. The last step of an epoch-limited plan takes what is left.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "data/mixing.h"
#include "data/packing.h"
#include "data/recipe.h"

namespace gradus {

using SequenceGroup = std::vector<SequenceRef>;

// Consecutive groups of `sequences`, each within both caps (0: none) or of a single sequence.
std::vector<SequenceGroup> group_sequences(const SequenceGroup& sequences,
                                           const std::vector<PackedSource>& sources,
                                           int64_t most_tokens, int64_t most_sequences);
PackedBatch make_batch(const SequenceGroup& sequences, const std::vector<PackedSource>& sources);

struct PlanOptions {
  BatchRecipe batch = {};
  int64_t context_length = 1024;
  ExhaustedPolicy on_exhausted = ExhaustedPolicy::kError;
  uint64_t seed = 0;
};

struct StepPlan {
  std::vector<PackedBatch> micro_batches;
  int64_t tokens = 0;
  int64_t supervised_tokens = 0;       // of the step: what its loss is divided by
  std::vector<int64_t> source_tokens;  // [sources]
};

class TrainingPlan {
 public:
  // With shares in the sources' recipes they are mixed by token share, without them they form one
  // pool. Throws when the recipe's length needs more epochs of a source than its max_epochs
  // (on_exhausted: error).
  TrainingPlan(std::vector<PackedSource> sources, const PlanOptions& options);
  ~TrainingPlan();
  TrainingPlan(TrainingPlan&&) noexcept;

  int64_t steps() const;
  int64_t tokens() const;
  int64_t tokens(int64_t step) const;
  int64_t supervised_tokens(int64_t step) const;

  // The step's sequences, and the same cut into micro-batches (what one rank needs to build only
  // its own).
  SequenceGroup sequences(int64_t step) const;
  std::vector<SequenceGroup> micro_batches(int64_t step) const;
  PackedBatch batch(const SequenceGroup& sequences) const;
  StepPlan step(int64_t step) const;

  const std::vector<PackedSource>& sources() const;
  // With the planned tokens, shares and epochs filled in.
  std::vector<SourceReport> reports() const;
  // "" or why the plan ends before the length that the recipe asks for.
  const std::string& ended_early() const;

 private:
  struct State;
  std::unique_ptr<const State> state_;
};

}  // namespace gradus
