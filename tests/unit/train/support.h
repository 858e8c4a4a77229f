// SPDX-License-Identifier: Apache-2.0
// Training data made by formula, so that the step loop can be tested without files.
#pragma once

#include <ATen/TensorOperators.h>

#include "base/rng.h"
#include "base/temporary_folder.h"
#include "support/tiny_model.h"
#include "train/trainer.h"

namespace gradus {

// A batch of documents of these lengths; `stream` chooses their ids.
inline PackedBatch random_batch(const std::vector<int32_t>& lengths, uint64_t stream) {
  PackedBatch batch;
  batch.segment_starts = {0};
  for (const int32_t length : lengths) {
    const auto first = static_cast<uint64_t>(batch.tokens());
    for (int32_t i = 0; i <= length; ++i) {
      const auto id =
          static_cast<int32_t>(random_bits(5, stream, first * 2 + static_cast<uint64_t>(i)) % 160);
      if (i > 0) batch.targets.push_back(id);
      if (i < length) batch.ids.push_back(id), batch.positions.push_back(i);
    }
    batch.origins.push_back({0, static_cast<int64_t>(batch.origins.size())});
    batch.segment_starts.push_back(static_cast<int32_t>(batch.tokens()));
  }
  batch.supervised_tokens = batch.tokens();
  return batch;
}

// Document i of a batch as a batch of its own.
inline PackedBatch segment(const PackedBatch& all, size_t i) {
  const auto begin = all.segment_starts[i], end = all.segment_starts[i + 1];
  PackedBatch one;
  one.segment_starts = {0, end - begin};
  one.ids.assign(all.ids.begin() + begin, all.ids.begin() + end);
  one.targets.assign(all.targets.begin() + begin, all.targets.begin() + end);
  one.positions.assign(all.positions.begin() + begin, all.positions.begin() + end);
  one.supervised_tokens = end - begin;
  return one;
}

// Every step has these batches, with ids of its own.
class RandomSteps : public StepSource {
 public:
  RandomSteps(int64_t steps, std::vector<std::vector<int32_t>> batches)
      : steps_(steps), batches_(std::move(batches)) {}
  int64_t steps() const override { return steps_; }
  StepPlan step(int64_t step) const override {
    StepPlan plan;
    for (size_t i = 0; i < batches_.size(); ++i) {
      plan.micro_batches.push_back(
          random_batch(batches_[i], static_cast<uint64_t>(step) * 100 + i));
      plan.tokens += plan.micro_batches.back().tokens();
      plan.supervised_tokens += plan.micro_batches.back().supervised_tokens;
    }
    return plan;
  }
  std::string describe(const PackedBatch&) const override { return "random documents"; }

 private:
  int64_t steps_;
  std::vector<std::vector<int32_t>> batches_;
};

inline TrainingRecipe tiny_recipe() {
  TrainingRecipe recipe;
  recipe.dtype = TrainDtype::kFloat32;
  recipe.optimizer.lr = 3e-3;
  recipe.evaluation.at_start = false;
  recipe.checkpoint.every_seconds = 0;
  recipe.peak_tflops = 1;
  return recipe;
}

inline HeldOutSet tiny_held_out() {
  return {"held", 2, [](int64_t i) {
            return random_batch({9, 14}, 900 + static_cast<uint64_t>(i));
          }};
}

// All weights of a model, in one list of copies.
inline std::vector<at::Tensor> copies_of(const Transformer& model) {
  std::vector<at::Tensor> copies;
  for (const NamedTensor& named : model.named_tensors()) copies.push_back(named.tensor.clone());
  return copies;
}

inline bool same_bits(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  for (size_t i = 0; i < a.size(); ++i)
    if (!a[i].equal(b[i])) return false;
  return a.size() == b.size();
}

// The largest difference, relative to the largest value; not a number stays not a number.
inline double relative_difference(const at::Tensor& a, const at::Tensor& b) {
  const double largest = b.abs().max().item<double>();
  return (a - b).abs().max().item<double>() / (largest > 0 ? largest : 1.0);
}

}  // namespace gradus
