// SPDX-License-Identifier: Apache-2.0
// The arithmetic of one low-rank adapter (LoRA: Hu et al. 2021; DoRA: Liu et al. 2024).
#pragma once

#include <ATen/core/Tensor.h>

namespace gradus {

// W' = W + scale · B A. With a magnitude m, row i of W' is then scaled to the length m[i] (DoRA).
struct LoraPair {
  at::Tensor a, b;  // [r, K], [rows, r]; undefined where there is no adapter
  double scale = 1.0;
  at::Tensor magnitude = {};  // [rows], or undefined
  at::Tensor bias = {};  // [rows], or undefined: scale · bias is added to the output (lora_bias)
};

// W' [rows, K] in fp32 for weight [rows, K] of any dtype.
at::Tensor merged_weight(const at::Tensor& weight, const LoraPair& pair);

// What a magnitude multiplies the rows of weight + scale · B A by, fp32 [rows].
at::Tensor row_gains(const at::Tensor& weight, const LoraPair& pair);

// The lengths of the rows of weight [rows, K], fp32: DoRA's magnitude before any training.
at::Tensor row_lengths(const at::Tensor& weight);

// What is adapted: weight [rows, K] and bias ([rows] or undefined), only looked at with a
// magnitude.
struct LoraBase {
  at::Tensor weight, bias;
  at::Tensor y;  // [T, rows], the product without the adapter
};

// What the adapter adds to base.y for x [T, K], in the dtype of y. Computed in the adapter's dtype.
at::Tensor lora_update(const LoraPair& pair, const at::Tensor& x, const LoraBase& base);

}  // namespace gradus
