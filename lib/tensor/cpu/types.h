// SPDX-License-Identifier: Apache-2.0
// Element types and views of the CPU kernels: plain pointers, no torch.
#pragma once

#include <cstdint>

namespace gradus::cpu {

// The bits of a bfloat16; same layout as c10::BFloat16, so pointers may be reinterpreted.
struct Bf16 {
  uint16_t bits;
};

enum class DType : uint8_t { kFloat32, kBFloat16 };

// A row-major matrix whose rows lie `stride` elements apart; a row itself is dense.
// The number of rows and columns is told by the call that the view is part of.
struct ConstRows {
  const void* data = nullptr;
  DType dtype = DType::kFloat32;
  int64_t stride = 0;
};
struct Rows {
  void* data = nullptr;
  DType dtype = DType::kFloat32;
  int64_t stride = 0;
};

// A dense array of one element type.
struct ConstArray {
  const void* data = nullptr;
  DType dtype = DType::kFloat32;
};

}  // namespace gradus::cpu
