// SPDX-License-Identifier: Apache-2.0
// The CPU kernels as differentiable operations; ops.cpp chooses them where they apply.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "tensor/ops.h"

namespace gradus::ops::fused_cpu {

bool applies(const at::Tensor& x);  // on the CPU, fp32 or bf16

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);
at::Tensor rotary(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin);
at::Tensor swiglu(const at::Tensor& gate_up);
// Where the head size fits the kernel; see ops::packed_attention.
bool attention_applies(const at::Tensor& q);
at::Tensor packed_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const std::vector<int64_t>& segment_starts,
                            const AttentionOptions& options);
// Few rows, no gradients: one pass over the weight at memory bandwidth.
at::Tensor small_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

}  // namespace gradus::ops::fused_cpu
