// SPDX-License-Identifier: Apache-2.0
// Where the step loop gets its batches: the data seam of training.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "data/evaluation_set.h"
#include "data/plan.h"

namespace gradus {

class StepSource {
 public:
  virtual ~StepSource() = default;
  virtual int64_t steps() const = 0;
  // A function of the step alone.
  virtual StepPlan step(int64_t step) const = 0;
  // The documents of a batch, for messages: "domain: documents 12-14, 90".
  virtual std::string describe(const PackedBatch& batch) const = 0;
};

class PlannedSteps : public StepSource {
 public:
  explicit PlannedSteps(const TrainingPlan& plan) : plan_(plan) {}
  int64_t steps() const override { return plan_.steps(); }
  StepPlan step(int64_t step) const override { return plan_.step(step); }
  std::string describe(const PackedBatch& batch) const override;

 private:
  const TrainingPlan& plan_;
};

// A set of batches that is evaluated, not trained on.
struct HeldOutSet {
  std::string name;
  int64_t batches = 0;
  std::function<PackedBatch(int64_t)> batch;
};
// `set` must outlive the result.
HeldOutSet held_out(const EvaluationSet& set);

// "12-14, 90" of ascending or unordered numbers, cut after a dozen ranges.
std::string range_text(std::vector<int64_t> numbers);

}  // namespace gradus
