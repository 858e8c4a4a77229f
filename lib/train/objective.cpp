// SPDX-License-Identifier: Apache-2.0
#include "train/objective.h"

#include <ATen/core/grad_mode.h>

#include "tensor/losses.h"

namespace gradus {

at::Tensor CrossEntropyObjective::loss(const Transformer& model, const at::Tensor& hidden,
                                       const Batch& batch, double scale) const {
  return ops::linear_cross_entropy(hidden, model.output_head(), batch.targets, scale);
}

at::Tensor DistillationObjective::loss(const Transformer& model, const at::Tensor& hidden,
                                       const Batch& batch, double scale) const {
  at::Tensor teacher_hidden;
  {
    const at::NoGradGuard no_gradients;
    PackedAttention attention(batch.segment_starts);
    teacher_hidden = forward(teacher_, batch, attention);
  }
  return ops::linear_distillation({.hidden = hidden,
                                   .head = model.output_head(),
                                   .teacher_hidden = teacher_hidden,
                                   .teacher_head = teacher_.output_head(),
                                   .targets = batch.targets},
                                  {.temperature = recipe_.temperature,
                                   .hard_weight = recipe_.hard_weight,
                                   .reverse_weight = recipe_.reverse_weight,
                                   .scale = scale});
}

}  // namespace gradus
