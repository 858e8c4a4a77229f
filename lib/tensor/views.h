// SPDX-License-Identifier: Apache-2.0
// Tensors as the plain views that the CPU kernels take. A tensor of more than two dimensions is
// seen as rows of its last one; rows must be dense and equally spaced.
#pragma once

#include <ATen/core/Tensor.h>

#include "tensor/cpu/types.h"

namespace gradus::cpu {

inline bool has_kernel_dtype(const at::Tensor& x) {
  return x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16;
}

inline DType dtype_of(const at::Tensor& x) {
  TORCH_CHECK(has_kernel_dtype(x), "CPU kernels take fp32 and bf16");
  return x.scalar_type() == at::kFloat ? DType::kFloat32 : DType::kBFloat16;
}

inline int64_t row_stride(const at::Tensor& x) {
  TORCH_CHECK(x.dim() == 2 ? x.stride(1) == 1 || x.size(1) == 1 : x.is_contiguous(),
              "rows must be dense");
  return x.dim() == 2 ? x.stride(0) : x.size(-1);
}

inline ConstRows const_rows(const at::Tensor& x) {
  return {.data = x.const_data_ptr(), .dtype = dtype_of(x), .stride = row_stride(x)};
}
inline Rows rows(at::Tensor& x) {
  return {.data = x.mutable_data_ptr(), .dtype = dtype_of(x), .stride = row_stride(x)};
}
inline ConstArray const_array(const at::Tensor& x) {
  TORCH_CHECK(x.is_contiguous(), "array must be dense");
  return {.data = x.const_data_ptr(), .dtype = dtype_of(x)};
}

}  // namespace gradus::cpu
