// SPDX-License-Identifier: Apache-2.0
// Round-to-nearest quantisation of weights, symmetric: w ≈ q · scale.
//
// Goals: no calibration data, deterministic, results in the storage layout of the
// compressed-tensors format. Non-goals: activation quantisation, error compensation (GPTQ).
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "tensor/quantized.h"

namespace gradus {

enum class ClipSearch { kOff, kOn };

struct RtnOptions {
  int bits = 4;             // 4 or 8
  int64_t group_size = 64;  // columns per scale; 0: one scale per row
  c10::ScalarType scale_dtype =
      at::kFloat;  // scales are rounded to it before the integers are chosen
  ClipSearch clip_search = ClipSearch::kOff;  // try scales of 100 % … 60 % of the largest weight
};

// weight [N, K], any float dtype, CPU. K must be a multiple of 8 and of the group size.
// Throws gradus::Error naming `where` when the weight does not fit the options.
QuantizedTensor quantize_rtn(const at::Tensor& weight, const RtnOptions& options,
                             const std::string& where);

}  // namespace gradus
