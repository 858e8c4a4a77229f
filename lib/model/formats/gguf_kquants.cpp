// SPDX-License-Identifier: Apache-2.0
// A K-quant stores 6 or 8 bit scales of small groups below one fp16 scale of the block. Each
// group's scale (and minimum) is found first in fp32: for several widths of the grid, round, solve
// the weighted least-squares problem for the best scale of those integers, and keep the best. Large
// values count more: weights are |x| plus the group's root mean square (Q4_K, Q5_K) or x² (Q6_K),
// which is what llama.cpp does without an importance matrix. Then the scales are rounded, and the
// integers chosen again for the rounded ones.
#include "model/formats/gguf_kquants.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/float16.h"

namespace gradus {
namespace {

constexpr int kSuper = 256;

int nearest(float value, int low, int high) {
  return std::clamp(static_cast<int>(std::lrintf(value)), low, high);
}

// x ≈ scale · q - low with q in 0 … levels and low >= 0.
struct Affine {
  float scale = 0, low = 0;
};

constexpr int kGroup = 32;

struct WeightedGroup {
  const float* x;
  float weight[kGroup];
  float sum_w = 0, sum_x = 0;  // of the weights, of weight · x

  explicit WeightedGroup(const float* in) : x(in) {
    float squares = 0;
    for (int i = 0; i < kGroup; ++i) squares += x[i] * x[i];
    const float typical = std::sqrt(squares / kGroup);
    for (int i = 0; i < kGroup; ++i) {
      weight[i] = typical + std::abs(x[i]);
      sum_w += weight[i];
      sum_x += weight[i] * x[i];
    }
  }
};

float weighted_error(const WeightedGroup& group, const Affine& fit, const float* q) {
  float error = 0;
  for (int i = 0; i < kGroup; ++i) {
    const float difference = fit.scale * q[i] - fit.low - group.x[i];
    error += group.weight[i] * difference * difference;
  }
  return error;
}

// The least-squares scale and minimum for given integers.
Affine solve(const WeightedGroup& group, const float* q) {
  float sum_q = 0, sum_qq = 0, sum_xq = 0;
  for (int i = 0; i < kGroup; ++i) {
    const float wq = group.weight[i] * q[i];
    sum_q += wq;
    sum_qq += wq * q[i];
    sum_xq += wq * group.x[i];
  }
  const float determinant = group.sum_w * sum_qq - sum_q * sum_q;
  if (determinant <= 0) return {};
  const float low = (sum_q * sum_xq - sum_qq * group.sum_x) / determinant;
  if (low < 0) return {.scale = sum_xq / sum_qq, .low = 0};
  return {.scale = (group.sum_w * sum_xq - sum_q * group.sum_x) / determinant, .low = low};
}

void round_group(const float* x, const Affine& grid, int levels, float* q) {
  const float inverse = grid.scale > 0 ? 1 / grid.scale : 0;
  for (int i = 0; i < kGroup; ++i) {
    q[i] =
        std::clamp(std::nearbyintf((x[i] + grid.low) * inverse), 0.0f, static_cast<float>(levels));
  }
}

Affine fit_group(const float* x, int levels) {
  const WeightedGroup group(x);
  const auto [least, most] = std::minmax_element(x, x + kGroup);
  const float low = std::min(*least, 0.0f), span = *most - low;
  if (span <= 0) return {.scale = 0, .low = -low};
  const auto steps = static_cast<float>(levels);
  float q[kGroup];
  Affine best{.scale = span / steps, .low = -low};
  round_group(x, best, levels, q);
  float best_error = weighted_error(group, best, q);
  constexpr int kTries = 21;
  for (int i = 0; i < kTries; ++i) {
    const float wider = steps - 1 + 0.1f * static_cast<float>(i);  // levels - 1 … levels + 1
    round_group(x, {.scale = span / wider, .low = -low}, levels, q);
    const Affine fit = solve(group, q);
    const float error = weighted_error(group, fit, q);
    if (fit.scale <= 0 || !(error < best_error)) continue;
    best = fit;
    best_error = error;
  }
  return best;
}

// 6-bit scales and minima of the eight groups, 12 bytes.
void pack_scales(const int* scale, const int* low, uint8_t* out) {
  for (int i = 0; i < 4; ++i) {
    out[i] = static_cast<uint8_t>(scale[i] | (scale[i + 4] >> 4) << 6);
    out[i + 4] = static_cast<uint8_t>(low[i] | (low[i + 4] >> 4) << 6);
    out[i + 8] = static_cast<uint8_t>((scale[i + 4] & 15) | (low[i + 4] & 15) << 4);
  }
}

// Writes the 16 bytes of d, dmin and scales that Q4_K and Q5_K begin with, and the integers.
void affine_block(const float* in, int levels, uint8_t* out, int* q) {
  Affine fits[8];
  float most_scale = 0, most_low = 0;
  for (int g = 0; g < 8; ++g) {
    fits[g] = fit_group(in + g * kGroup, levels);
    most_scale = std::max(most_scale, fits[g].scale);
    most_low = std::max(most_low, fits[g].low);
  }
  const float d = put_half(most_scale / 63, out), dmin = put_half(most_low / 63, out + 2);
  int scale[8], low[8];
  for (int g = 0; g < 8; ++g) {
    scale[g] = d > 0 ? nearest(fits[g].scale / d, 0, 63) : 0;
    low[g] = dmin > 0 ? nearest(fits[g].low / dmin, 0, 63) : 0;
    const Affine stored{.scale = d * static_cast<float>(scale[g]),
                        .low = dmin * static_cast<float>(low[g])};
    float rounded[kGroup];
    round_group(in + g * kGroup, stored, levels, rounded);
    for (int i = 0; i < kGroup; ++i) q[g * kGroup + i] = static_cast<int>(rounded[i]);
  }
  pack_scales(scale, low, out + 4);
}

// 32 bytes hold 64 values, low nibbles first.
void pack_nibble_pairs(const int* q, uint8_t* out) {
  for (int pair = 0; pair < 4; ++pair) {
    const int* first = q + pair * 64;
    for (int i = 0; i < 32; ++i) {
      out[pair * 32 + i] = static_cast<uint8_t>((first[i] & 15) | (first[i + 32] & 15) << 4);
    }
  }
}

constexpr int kSixth = 16;  // values per scale of Q6_K

// x ≈ scale · q with q in -32 … 31; the sign of the scale is free.
float fit_symmetric(const float* x) {
  float extreme = 0;
  for (int i = 0; i < kSixth; ++i) {
    if (std::abs(x[i]) > std::abs(extreme)) extreme = x[i];
  }
  if (std::abs(extreme) < 1e-15f) return 0;
  float best = 0, best_gain = 0;
  for (int step = -9; step <= 9; ++step) {
    const float inverse = -(32 + 0.1f * static_cast<float>(step)) / extreme;
    float sum_xq = 0, sum_qq = 0;
    for (int i = 0; i < kSixth; ++i) {
      const float q = std::clamp(std::nearbyintf(x[i] * inverse), -32.0f, 31.0f);
      const float weight = x[i] * x[i];
      sum_xq += weight * x[i] * q;
      sum_qq += weight * q * q;
    }
    // The squared error falls by sum_xq² / sum_qq.
    if (sum_qq > 0 && sum_xq * sum_xq > best_gain * sum_qq) {
      best = sum_xq / sum_qq;
      best_gain = sum_xq * sum_xq / sum_qq;
    }
  }
  return best;
}

// Layout as in q6_k_block of gguf_dequantize.cpp; q is 0 … 63.
void pack_q6(const int* q, uint8_t* out) {
  for (int half = 0; half < 2; ++half) {
    const int* first = q + half * 128;
    uint8_t *low = out + half * 64, *high = out + 128 + half * 32;
    for (int i = 0; i < 32; ++i) {
      low[i] = static_cast<uint8_t>((first[i] & 15) | (first[i + 64] & 15) << 4);
      low[i + 32] = static_cast<uint8_t>((first[i + 32] & 15) | (first[i + 96] & 15) << 4);
      high[i] = static_cast<uint8_t>(first[i] >> 4 | (first[i + 32] >> 4) << 2 |
                                     (first[i + 64] >> 4) << 4 | (first[i + 96] >> 4) << 6);
    }
  }
}

}  // namespace

float put_half(float value, uint8_t* out) {
  const uint16_t bits = half_from_float(value);
  std::memcpy(out, &bits, sizeof bits);
  return float_from_half(bits);
}

void quantize_q4_k_block(const float* in, uint8_t* out) {
  int q[kSuper];
  affine_block(in, 15, out, q);
  pack_nibble_pairs(q, out + 16);
}

void quantize_q5_k_block(const float* in, uint8_t* out) {
  int q[kSuper];
  affine_block(in, 31, out, q);
  uint8_t* high = out + 16;
  std::memset(high, 0, 32);
  for (int i = 0; i < kSuper; ++i) {
    high[i % 32] = static_cast<uint8_t>(high[i % 32] | (q[i] >> 4) << (i / 32));
  }
  pack_nibble_pairs(q, out + 48);
}

void quantize_q6_k_block(const float* in, uint8_t* out) {
  float scales[kSuper / kSixth], extreme = 0;
  for (int g = 0; g < kSuper / kSixth; ++g) {
    scales[g] = fit_symmetric(in + g * kSixth);
    if (std::abs(scales[g]) > std::abs(extreme)) extreme = scales[g];
  }
  const float d = put_half(extreme / -128, out + 208);
  int q[kSuper];
  for (int g = 0; g < kSuper / kSixth; ++g) {
    const int scale = d == 0 ? 0 : nearest(scales[g] / d, -128, 127);
    out[192 + g] = static_cast<uint8_t>(static_cast<int8_t>(scale));
    const float step = d * static_cast<float>(scale);
    for (int i = g * kSixth; i < (g + 1) * kSixth; ++i) {
      q[i] = 32 + (step == 0 ? 0 : nearest(in[i] / step, -32, 31));
    }
  }
  pack_q6(q, out);
}

}  // namespace gradus
