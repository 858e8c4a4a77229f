// SPDX-License-Identifier: Apache-2.0
// Weights kept in 8 or 4 bits in memory and multiplied as they are; never expanded as a whole.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

namespace gradus {

// Integers of a weight [N, K] as the compressed-tensors format stores them, symmetric:
// 4 bits: values int32 [N, K/8], lowest nibble first along K, each stored +8 (q in [-8, 7]);
// 8 bits: values int8 [N, K]. K is a multiple of 8. scales [N, K/group_size], or [N, 1] with
// group_size 0 (per channel).
struct QuantizedTensor {
  int bits = 8;
  int64_t group_size = 0;
  at::Tensor values{}, scales{};
};

// A weight ready for multiplication on its device. On the CPU it is repacked for the kernels, with
// the same size in memory; elsewhere it keeps the storage layout.
struct QuantizedWeight {
  int bits = 8;
  int64_t group_size = 0;                    // 0: one scale per row
  int64_t rows = 0;                          // N
  int64_t columns = 0;                       // K
  c10::ScalarType scale_dtype = at::kFloat;  // bf16 stays bf16, others are widened
  at::Tensor values, scales;  // CPU: `values` holds everything in the kernels' layout

  int64_t bytes() const;
};

// `columns` is K. Throws gradus::Error naming `where` when shapes or dtypes do not fit together.
std::shared_ptr<const QuantizedWeight> prepare_quantized(const QuantizedTensor& stored,
                                                         int64_t columns, const std::string& where);
// q * scale as fp32 [N, K]: tests, and devices without a kernel.
at::Tensor dequantize(const QuantizedTensor& stored, int64_t columns);

namespace ops {

// x [T, K], bias [N] or undefined -> [T, N] in x's dtype. No gradients.
at::Tensor quantized_linear(const at::Tensor& x, const QuantizedWeight& weight,
                            const at::Tensor& bias);

}  // namespace ops
}  // namespace gradus
