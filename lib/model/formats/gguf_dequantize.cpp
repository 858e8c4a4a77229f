// SPDX-License-Identifier: Apache-2.0
// Block layouts of ggml (ggml-common.h). The order of the fp32 operations is that of the reference,
// so results are equal bit for bit; the file is compiled without fused multiply-add.
#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "base/float16.h"
#include "base/parallel.h"
#include "model/formats/gguf.h"

namespace gradus {
namespace {

constexpr int kSmall = 32;   // elements of a legacy block
constexpr int kSuper = 256;  // elements of a K-quant block

float half_at(const uint8_t* bytes) {
  uint16_t bits;
  std::memcpy(&bits, bytes, sizeof bits);
  return float_from_half(bits);
}

void f32_block(const uint8_t* in, float* out) { std::memcpy(out, in, sizeof *out); }
void f16_block(const uint8_t* in, float* out) { *out = half_at(in); }
void bf16_block(const uint8_t* in, float* out) {
  uint16_t bits;
  std::memcpy(&bits, in, sizeof bits);
  *out = float_from_bfloat16(bits);
}

void q4_0_block(const uint8_t* in, float* out) {
  const float d = half_at(in);
  const uint8_t* q = in + 2;
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>((q[i] & 15) - 8);
    out[i + 16] = d * static_cast<float>((q[i] >> 4) - 8);
  }
}

void q4_1_block(const uint8_t* in, float* out) {
  const float d = half_at(in), m = half_at(in + 2);
  const uint8_t* q = in + 4;
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>(q[i] & 15) + m;
    out[i + 16] = d * static_cast<float>(q[i] >> 4) + m;
  }
}

// Bit i of the four bytes is the fifth bit of element i.
int fifth_bit(const uint8_t* bits, int i) { return ((bits[i / 8] >> (i % 8)) & 1) << 4; }

void q5_0_block(const uint8_t* in, float* out) {
  const float d = half_at(in);
  const uint8_t *high = in + 2, *q = in + 6;
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>(((q[i] & 15) | fifth_bit(high, i)) - 16);
    out[i + 16] = d * static_cast<float>(((q[i] >> 4) | fifth_bit(high, i + 16)) - 16);
  }
}

void q5_1_block(const uint8_t* in, float* out) {
  const float d = half_at(in), m = half_at(in + 2);
  const uint8_t *high = in + 4, *q = in + 8;
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>((q[i] & 15) | fifth_bit(high, i)) + m;
    out[i + 16] = d * static_cast<float>((q[i] >> 4) | fifth_bit(high, i + 16)) + m;
  }
}

void q8_0_block(const uint8_t* in, float* out) {
  const float d = half_at(in);
  for (int i = 0; i < kSmall; ++i) out[i] = static_cast<float>(static_cast<int8_t>(in[2 + i])) * d;
}

// scales[16] (scale | min << 4), q[64] 2 bits, d, dmin. Byte i of a half holds elements i, i + 32,
// i + 64 and i + 96 of its 128.
void q2_k_block(const uint8_t* in, float* out) {
  const uint8_t *scales = in, *q = in + 16;
  const float d = half_at(in + 80), dmin = half_at(in + 82);
  for (int group = 0; group < 16; ++group) {
    const float scale = d * static_cast<float>(scales[group] & 15);
    const float low = dmin * static_cast<float>(scales[group] >> 4);
    const uint8_t* bytes = q + group / 8 * 32 + group % 2 * 16;
    const int shift = group % 8 / 2 * 2;
    for (int i = 0; i < 16; ++i) {
      out[group * 16 + i] = scale * static_cast<float>((bytes[i] >> shift) & 3) - low;
    }
  }
}

// The 6-bit scale of a group of 16: four bits in the first 8 bytes, two in the last 4.
int q3_k_scale(const uint8_t* packed, int group) {
  const int low = group < 8 ? packed[group] & 15 : packed[group - 8] >> 4;
  const int high = (packed[8 + group % 4] >> (group / 4 * 2)) & 3;
  return (low | high << 4) - 32;
}

// mask[32] (third bit, inverted), q[64] as in q2_k, scales[12], d.
void q3_k_block(const uint8_t* in, float* out) {
  const uint8_t *mask = in, *q = in + 32, *scales = in + 96;
  const float d = half_at(in + 108);
  for (int group = 0; group < 16; ++group) {
    const float scale = d * static_cast<float>(q3_k_scale(scales, group));
    const int first = group % 2 * 16, shift = group % 8 / 2 * 2;
    const uint8_t* bytes = q + group / 8 * 32 + first;
    for (int i = 0; i < 16; ++i) {
      const int offset = (mask[first + i] >> (group / 2)) & 1 ? 0 : 4;
      out[group * 16 + i] = scale * static_cast<float>(((bytes[i] >> shift) & 3) - offset);
    }
  }
}

// The 6-bit scale and minimum of a group of 32, from 12 bytes.
struct ScaleMin {
  float scale, low;
};

ScaleMin k4_scale(const uint8_t* p, int group) {
  if (group < 4) return {static_cast<float>(p[group] & 63), static_cast<float>(p[group + 4] & 63)};
  const int scale = (p[group + 4] & 15) | (p[group - 4] >> 6) << 4;
  const int low = p[group + 4] >> 4 | (p[group] >> 6) << 4;
  return {static_cast<float>(scale), static_cast<float>(low)};
}

// d, dmin, scales[12], q[128]: 32 bytes hold 64 elements, low nibbles first.
void q4_k_block(const uint8_t* in, float* out) {
  const float d = half_at(in), dmin = half_at(in + 2);
  for (int group = 0; group < 8; ++group) {
    const ScaleMin packed = k4_scale(in + 4, group);
    const float scale = d * packed.scale, low = dmin * packed.low;
    const uint8_t* q = in + 16 + group / 2 * 32;
    const int shift = group % 2 * 4;
    for (int i = 0; i < 32; ++i) {
      out[group * 32 + i] = scale * static_cast<float>((q[i] >> shift) & 15) - low;
    }
  }
}

// As q4_k with high[32] before q: bit g of byte i is the fifth bit of element i of group g.
void q5_k_block(const uint8_t* in, float* out) {
  const float d = half_at(in), dmin = half_at(in + 2);
  const uint8_t* high = in + 16;
  for (int group = 0; group < 8; ++group) {
    const ScaleMin packed = k4_scale(in + 4, group);
    const float scale = d * packed.scale, low = dmin * packed.low;
    const uint8_t* q = in + 48 + group / 2 * 32;
    const int shift = group % 2 * 4;
    for (int i = 0; i < 32; ++i) {
      const int value = ((q[i] >> shift) & 15) | ((high[i] >> group) & 1) << 4;
      out[group * 32 + i] = scale * static_cast<float>(value) - low;
    }
  }
}

// low[128], high[64], scales[16] (signed), d. Of each half's 128 elements, 64 bytes of `low` hold
// elements i and i + 64, 32 bytes of `high` hold i, i + 32, i + 64 and i + 96.
void q6_k_block(const uint8_t* in, float* out) {
  const uint8_t *low = in, *high = in + 128, *scales = in + 192;
  const float d = half_at(in + 208);
  for (int group = 0; group < 16; ++group) {
    const float scale = d * static_cast<float>(static_cast<int8_t>(scales[group]));
    const int half = group / 8, first = group % 8 * 16;
    const uint8_t* l = low + half * 64 + first % 64;
    const uint8_t* h = high + half * 32 + first % 32;
    const int low_shift = first / 64 * 4, high_shift = first / 32 * 2;
    for (int i = 0; i < 16; ++i) {
      const int value = ((l[i] >> low_shift) & 15) | ((h[i] >> high_shift) & 3) << 4;
      out[group * 16 + i] = scale * static_cast<float>(value - 32);
    }
  }
}

// The 16 values of the non-linear 4-bit types, denser near zero.
constexpr int8_t kNonLinear[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                   1,    13,   25,  38,  53,  69,  89,  113};

void iq4_nl_block(const uint8_t* in, float* out) {
  const float d = half_at(in);
  const uint8_t* q = in + 2;
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>(kNonLinear[q[i] & 15]);
    out[i + 16] = d * static_cast<float>(kNonLinear[q[i] >> 4]);
  }
}

// d, the upper two bits of eight 6-bit scales, their lower four bits, q[128] in groups of 32.
void iq4_xs_block(const uint8_t* in, float* out) {
  const float d = half_at(in);
  const int high = in[2] | in[3] << 8;
  for (int group = 0; group < 8; ++group) {
    const int low = (in[4 + group / 2] >> (group % 2 * 4)) & 15;
    const float scale = d * static_cast<float>((low | ((high >> (2 * group)) & 3) << 4) - 32);
    const uint8_t* q = in + 8 + group * 16;
    for (int i = 0; i < 16; ++i) {
      out[group * 32 + i] = scale * static_cast<float>(kNonLinear[q[i] & 15]);
      out[group * 32 + i + 16] = scale * static_cast<float>(kNonLinear[q[i] >> 4]);
    }
  }
}

template <auto kBlock, int kElements, int kBytes>
void expand(const uint8_t* in, int64_t blocks, float* out) {
  for (int64_t i = 0; i < blocks; ++i) kBlock(in + i * kBytes, out + i * kElements);
}

using Expand = void (*)(const uint8_t* in, int64_t blocks, float* out);

Expand expander(GgufType type) {
  switch (type) {
    case GgufType::kF32:
      return expand<f32_block, 1, 4>;
    case GgufType::kF16:
      return expand<f16_block, 1, 2>;
    case GgufType::kBF16:
      return expand<bf16_block, 1, 2>;
    case GgufType::kQ4_0:
      return expand<q4_0_block, kSmall, 18>;
    case GgufType::kQ4_1:
      return expand<q4_1_block, kSmall, 20>;
    case GgufType::kQ5_0:
      return expand<q5_0_block, kSmall, 22>;
    case GgufType::kQ5_1:
      return expand<q5_1_block, kSmall, 24>;
    case GgufType::kQ8_0:
      return expand<q8_0_block, kSmall, 34>;
    case GgufType::kQ2_K:
      return expand<q2_k_block, kSuper, 84>;
    case GgufType::kQ3_K:
      return expand<q3_k_block, kSuper, 110>;
    case GgufType::kQ4_K:
      return expand<q4_k_block, kSuper, 144>;
    case GgufType::kQ5_K:
      return expand<q5_k_block, kSuper, 176>;
    case GgufType::kQ6_K:
      return expand<q6_k_block, kSuper, 210>;
    case GgufType::kIQ4_NL:
      return expand<iq4_nl_block, kSmall, 18>;
    case GgufType::kIQ4_XS:
      return expand<iq4_xs_block, kSuper, 136>;
  }
  throw std::logic_error("gguf: unknown tensor type");
}

void expand_blocks(const GgufTensor& tensor, int64_t first, int64_t blocks, float* out) {
  const GgufTypeInfo& info = gguf_type_info(tensor.type);
  const auto* in = reinterpret_cast<const uint8_t*>(tensor.bytes.data());
  expander(tensor.type)(in + first * info.block_bytes, blocks, out);
}

}  // namespace

void dequantize_gguf(const GgufTensor& tensor, std::span<float> out) {
  if (static_cast<int64_t>(out.size()) != tensor.elements()) {
    throw std::logic_error("gguf: output does not fit " + tensor.name);
  }
  const int64_t block = gguf_type_info(tensor.type).block_elements;
  constexpr int64_t kGrainElements = 1 << 16;
  parallel_for(tensor.elements() / block, kGrainElements / block, [&](int64_t begin, int64_t end) {
    expand_blocks(tensor, begin, end - begin, out.data() + begin * block);
  });
}

void dequantize_gguf_row(const GgufTensor& tensor, int64_t row, std::span<float> out) {
  if (static_cast<int64_t>(out.size()) != tensor.row_elements() || row < 0 ||
      row >= tensor.rows()) {
    throw std::logic_error("gguf: row does not fit " + tensor.name);
  }
  const int64_t blocks = tensor.row_elements() / gguf_type_info(tensor.type).block_elements;
  expand_blocks(tensor, row * blocks, blocks, out.data());
}

}  // namespace gradus
