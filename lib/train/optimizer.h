// SPDX-License-Identifier: Apache-2.0
// AdamW with fp32 master weights, and the gradients that feed it. Every sum has a fixed order, so
// that equal inputs give equal bits.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "train/parameters.h"

namespace gradus {

// The gradients of one optimizer step. With several micro-batches they are summed in fp32, so that
// accumulation does not round in bf16; a single one is used as autograd left it.
class GradientSum {
 public:
  explicit GradientSum(const std::vector<TrainedParameter>& parameters)
      : parameters_(parameters), sums_(parameters.size()) {}

  // Takes the leaves' gradients of a backward pass; the leaves have none afterwards.
  void take(int64_t micro_batches);
  const std::vector<at::Tensor>& tensors() const { return sums_; }
  // Root of the sum of all squares.
  double norm() const;
  void clear();

 private:
  const std::vector<TrainedParameter>& parameters_;
  std::vector<at::Tensor> sums_;
};

struct AdamWState {
  std::string name;  // "master.", "exp_avg." or "exp_avg_sq." and the file name of the weight
  at::Tensor tensor;
};

class AdamW {
 public:
  // `parameters` must outlive the optimizer. Masters start as the leaves' values.
  AdamW(const std::vector<TrainedParameter>& parameters, const OptimizerRecipe& recipe);

  // One update of masters and leaves, with gradients times `grad_scale`.
  void step(const std::vector<at::Tensor>& gradients, double lr, double grad_scale);

  int64_t steps_done() const { return steps_done_; }
  // Views of everything to be saved; writing into them and calling restored() resumes.
  std::vector<AdamWState> states() const;
  void restored(int64_t steps_done);

 private:
  struct Slot {
    at::Tensor master, exp_avg, exp_avg_sq;  // fp32; master is the leaf itself for fp32 models
  };
  void step_cpu(size_t index, const at::Tensor& gradient, double lr, double grad_scale);
  void step_device(const std::vector<at::Tensor>& gradients, double lr, double grad_scale);

  const std::vector<TrainedParameter>& parameters_;
  OptimizerRecipe recipe_;
  std::vector<Slot> slots_;
  int64_t steps_done_ = 0;
};

}  // namespace gradus
