// SPDX-License-Identifier: Apache-2.0
// What a step minimises. The step loop runs the model; an objective turns its hidden states into a
// loss. Continued pre-training and fine-tuning differ in their targets only.
#pragma once

#include <ATen/core/Tensor.h>

#include "model/transformer.h"
#include "train/batch.h"
#include "train/recipe.h"

namespace gradus {

class Objective {
 public:
  virtual ~Objective() = default;
  // The sum over the batch's supervised tokens, times `scale`: a differentiable fp32 scalar.
  // hidden [T, D] are the model's last hidden states of the batch.
  virtual at::Tensor loss(const Transformer& model, const at::Tensor& hidden, const Batch& batch,
                          double scale) const = 0;
};

class CrossEntropyObjective : public Objective {
 public:
  at::Tensor loss(const Transformer& model, const at::Tensor& hidden, const Batch& batch,
                  double scale) const override;
};

// Learning from the teacher's distribution over the next token, for teachers with the student's
// vocabulary (Hinton et al. 2015). The teacher runs without gradients on the same batch.
class DistillationObjective : public Objective {
 public:
  DistillationObjective(Transformer teacher, const DistillationRecipe& recipe)
      : teacher_(std::move(teacher)), recipe_(recipe) {}
  at::Tensor loss(const Transformer& model, const at::Tensor& hidden, const Batch& batch,
                  double scale) const override;

 private:
  Transformer teacher_;
  DistillationRecipe recipe_;
};

}  // namespace gradus
