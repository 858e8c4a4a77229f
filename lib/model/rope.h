// SPDX-License-Identifier: Apache-2.0
// Cosines and sines of one RopeConfig.
#pragma once

#include <ATen/core/Tensor.h>

#include "model/config.h"

namespace gradus {

struct Rotary {
  at::Tensor cos, sin;  // [T, dim/2] fp32
};

class RotaryEmbedding {
 public:
  RotaryEmbedding(RopeConfig rope, c10::Device device);
  // positions [T] int64. Where the frequencies depend on a sequence's length (kDynamic, kLongRope),
  // a run of consecutive positions is taken as one sequence up to its last position.
  Rotary tables(const at::Tensor& positions) const;
  bool interleaved() const { return rope_.interleaved; }

 private:
  at::Tensor per_token_frequencies(const at::Tensor& positions) const;
  RopeConfig rope_;
  at::Tensor frequencies_;  // [dim/2]; undefined where they depend on the length
};

// Inverse frequencies [dim/2], fp32 on the CPU, for sequences of `length` tokens.
at::Tensor rope_inverse_frequencies(const RopeConfig& rope, int64_t length);

}  // namespace gradus
