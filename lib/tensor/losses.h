// SPDX-License-Identifier: Apache-2.0
// Losses over a vocabulary that never hold the full [T, V] matrix: the output projection and the
// loss are computed together for a block of rows at a time, and the gradients of both inputs in
// the same pass (as Liger Kernel's fused linear cross-entropy does).
//
// A target of kIgnoredTarget takes no part; rows without a target cost nothing.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace gradus::ops {

using at::Tensor;

inline constexpr int64_t kIgnoredTarget = -100;

// What makes logits of hidden states: softcap(hidden · weightᵀ + bias), ops::softcap's.
struct OutputHead {
  Tensor weight;         // [V, D]
  Tensor bias = {};      // [V] or undefined
  double softcap = 0.0;  // 0: none
};

// Sum over targeted rows of -log softmax(logits)[target], times `scale`; a scalar fp32.
// hidden [T, D], targets [T] int64. Differentiable in hidden, weight and bias.
Tensor linear_cross_entropy(const Tensor& hidden, const OutputHead& head, const Tensor& targets,
                            double scale);

struct DistillationOptions {
  double temperature = 1.0;
  double hard_weight = 0.0;     // share of the cross-entropy with the targets, 0..1
  double reverse_weight = 0.0;  // share of KL(student || teacher) in the KL part, 0..1
  double scale = 1.0;           // of the whole sum
};

struct DistillationInput {
  Tensor hidden;  // student [T, D]; differentiable, as its head is
  OutputHead head;
  Tensor teacher_hidden;  // [T, Dt]; no gradients
  OutputHead teacher_head;
  Tensor targets;  // [T] int64
};

// Sum over targeted rows of hard·CE + (1-hard)·τ²·((1-reverse)·KL(teacher‖student) +
// reverse·KL(student‖teacher)) at temperature τ (Hinton et al. 2015; Gu et al. 2023 for the
// reverse direction), times scale; a scalar fp32.
Tensor linear_distillation(const DistillationInput& input, const DistillationOptions& options);

}  // namespace gradus::ops
