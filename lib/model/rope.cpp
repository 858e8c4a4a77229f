// SPDX-License-Identifier: Apache-2.0
#include "model/rope.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/sin.h>

#include <algorithm>
#include <cmath>

namespace gradus {
namespace {

using at::Tensor;

double llama3_frequency(const RopeConfig& rope, double frequency) {
  const auto original = static_cast<double>(rope.original_max_position_embeddings);
  const double wavelength = 2 * M_PI / frequency;
  if (wavelength > original / rope.low_freq_factor) return frequency / rope.factor;
  if (wavelength < original / rope.high_freq_factor) return frequency;
  const double smooth = (original / wavelength - rope.low_freq_factor) /
                        (rope.high_freq_factor - rope.low_freq_factor);
  return (1 - smooth) * frequency / rope.factor + smooth * frequency;
}

// The pair at which a full context makes `rotations` turns (Peng et al. 2023, NTK by parts).
double yarn_pair(const RopeConfig& rope, double rotations) {
  const auto original = static_cast<double>(rope.original_max_position_embeddings);
  return static_cast<double>(rope.dim) * std::log(original / (rotations * 2 * M_PI)) /
         (2 * std::log(rope.theta));
}

double yarn_frequency(const RopeConfig& rope, double frequency, int64_t pair) {
  double low = yarn_pair(rope, rope.beta_fast), high = yarn_pair(rope, rope.beta_slow);
  if (rope.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0), high = std::min(high, static_cast<double>(rope.dim - 1));
  if (low == high) high += 0.001;
  const double ramp = std::clamp((static_cast<double>(pair) - low) / (high - low), 0.0, 1.0);
  return frequency / rope.factor * ramp + frequency * (1 - ramp);
}

double theta_of(const RopeConfig& rope, int64_t length) {
  if (rope.type != RopeType::kDynamic || length <= rope.max_position_embeddings) return rope.theta;
  const double stretch = rope.factor * static_cast<double>(length) /
                             static_cast<double>(rope.max_position_embeddings) -
                         (rope.factor - 1);
  const auto dim = static_cast<double>(rope.dim);
  return rope.theta * std::pow(stretch, dim / (dim - 2));
}

double scaled(const RopeConfig& rope, double frequency, int64_t pair, int64_t length) {
  const auto at = static_cast<size_t>(pair);
  switch (rope.type) {
    case RopeType::kDefault:
    case RopeType::kDynamic:
      return frequency;
    case RopeType::kLinear:
      return frequency / rope.factor;
    case RopeType::kYarn:
      return yarn_frequency(rope, frequency, pair);
    case RopeType::kLlama3:
      return llama3_frequency(rope, frequency);
    case RopeType::kLongRope:
      return frequency / (length > rope.original_max_position_embeddings ? rope.long_factor[at]
                                                                         : rope.short_factor[at]);
  }
  return frequency;
}

bool depends_on_length(const RopeConfig& rope) {
  return rope.type == RopeType::kDynamic || rope.type == RopeType::kLongRope;
}

}  // namespace

Tensor rope_inverse_frequencies(const RopeConfig& rope, int64_t length) {
  const double theta = theta_of(rope, length);
  Tensor frequencies = at::empty({rope.dim / 2}, at::kFloat);
  auto* out = frequencies.data_ptr<float>();
  for (int64_t pair = 0; pair < rope.dim / 2; ++pair) {
    const double frequency =
        1.0 / std::pow(theta, static_cast<double>(2 * pair) / static_cast<double>(rope.dim));
    out[pair] = static_cast<float>(scaled(rope, frequency, pair, length));
  }
  return frequencies;
}

int64_t shortest_alike(const ModelConfig& config, int64_t length) {
  int64_t shortest = 1;
  for (const RopeConfig& rope : config.ropes) {
    if (rope.type == RopeType::kDynamic && length > rope.max_position_embeddings) return length;
    const int64_t original = rope.original_max_position_embeddings;
    if (rope.type == RopeType::kLongRope && length > original)
      shortest = std::max(shortest, original + 1);
  }
  return shortest;
}

RotaryEmbedding::RotaryEmbedding(RopeConfig rope, c10::Device device) : rope_(std::move(rope)) {
  if (!depends_on_length(rope_)) frequencies_ = rope_inverse_frequencies(rope_, 0).to(device);
}

Tensor RotaryEmbedding::per_token_frequencies(const std::vector<SequenceTokens>& sequences) const {
  std::vector<Tensor> rows;
  for (const SequenceTokens& sequence : sequences)
    rows.push_back(rope_inverse_frequencies(rope_, sequence.length)
                       .unsqueeze(0)
                       .expand({sequence.count, rope_.dim / 2}));
  return at::cat(rows, 0);
}

Rotary RotaryEmbedding::tables(const Tensor& positions,
                               const std::vector<SequenceTokens>& sequences) const {
  const Tensor frequencies = frequencies_.defined()
                                 ? frequencies_.unsqueeze(0)
                                 : per_token_frequencies(sequences).to(positions.device());
  const Tensor angles = positions.to(at::kFloat).unsqueeze(1) * frequencies;
  if (rope_.attention_factor == 1.0) return {at::cos(angles), at::sin(angles)};
  return {at::cos(angles) * rope_.attention_factor, at::sin(angles) * rope_.attention_factor};
}

}  // namespace gradus
