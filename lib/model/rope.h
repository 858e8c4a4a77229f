// SPDX-License-Identifier: Apache-2.0
// Cosines and sines of one RopeConfig.
#pragma once

#include <ATen/core/Tensor.h>

#include "model/attention.h"
#include "model/config.h"

namespace gradus {

struct Rotary {
  at::Tensor cos, sin;  // [T, dim/2] fp32
};

class RotaryEmbedding {
 public:
  RotaryEmbedding(RopeConfig rope, c10::Device device);
  // positions [T] int64 of the tokens of `sequences`, on whose lengths the frequencies may depend
  // (kDynamic, kLongRope).
  Rotary tables(const at::Tensor& positions, const std::vector<SequenceTokens>& sequences) const;
  bool interleaved() const { return rope_.interleaved; }

 private:
  at::Tensor per_token_frequencies(const std::vector<SequenceTokens>& sequences) const;
  RopeConfig rope_;
  at::Tensor frequencies_;  // [dim/2]; undefined where they depend on the length
};

// Inverse frequencies [dim/2], fp32 on the CPU, for sequences of `length` tokens.
at::Tensor rope_inverse_frequencies(const RopeConfig& rope, int64_t length);

// The shortest length with the frequencies of `length`. Sequences for which it is equal may share
// keys of tokens that they begin with; others may not.
int64_t shortest_alike(const ModelConfig& config, int64_t length);

}  // namespace gradus
