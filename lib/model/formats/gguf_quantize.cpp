// SPDX-License-Identifier: Apache-2.0
#include "model/formats/gguf_quantize.h"

#include <cmath>
#include <cstring>
#include <stdexcept>

#include "base/float16.h"
#include "model/formats/gguf_kquants.h"

namespace gradus {
namespace {

constexpr int kSmall = 32;

float inverse(float value) { return value == 0 ? 0.0f : 1.0f / value; }

void f32_block(const float* in, uint8_t* out) { std::memcpy(out, in, sizeof *in); }
void f16_block(const float* in, uint8_t* out) { put_half(*in, out); }
void bf16_block(const float* in, uint8_t* out) {
  const uint16_t bits = bfloat16_from_float(*in);
  std::memcpy(out, &bits, sizeof bits);
}

// The value of the largest magnitude, the first of several.
float extreme(const float* in) {
  float found = 0, largest = -1;
  for (int i = 0; i < kSmall; ++i) {
    if (std::abs(in[i]) > largest) largest = std::abs(found = in[i]);
  }
  return found;
}

struct Range {
  float low, high;
};

Range range_of(const float* in) {
  Range range{in[0], in[0]};
  for (int i = 1; i < kSmall; ++i) {
    range.low = std::min(range.low, in[i]);
    range.high = std::max(range.high, in[i]);
  }
  return range;
}

int truncated(float value, int most) { return std::min(static_cast<int>(value), most); }

void put_nibbles(const int* q, uint8_t* out) {
  for (int i = 0; i < 16; ++i) out[i] = static_cast<uint8_t>((q[i] & 15) | (q[i + 16] & 15) << 4);
}

void put_fifth_bits(const int* q, uint8_t* out) {
  std::memset(out, 0, 4);
  for (int i = 0; i < kSmall; ++i) {
    out[i / 8] = static_cast<uint8_t>(out[i / 8] | (q[i] >> 4) << (i % 8));
  }
}

void q8_0_block(const float* in, uint8_t* out) {
  const float d = std::abs(extreme(in)) / 127, id = inverse(d);
  put_half(d, out);
  for (int i = 0; i < kSmall; ++i) {
    out[2 + i] = static_cast<uint8_t>(static_cast<int8_t>(std::round(in[i] * id)));
  }
}

// The extreme value gets the most negative integer.
void q4_0_block(const float* in, uint8_t* out) {
  const float d = extreme(in) / -8, id = inverse(d);
  int q[kSmall];
  for (int i = 0; i < kSmall; ++i) q[i] = truncated(in[i] * id + 8.5f, 15);
  put_half(d, out);
  put_nibbles(q, out + 2);
}

void q5_0_block(const float* in, uint8_t* out) {
  const float d = extreme(in) / -16, id = inverse(d);
  int q[kSmall];
  for (int i = 0; i < kSmall; ++i) q[i] = truncated(in[i] * id + 16.5f, 31);
  put_half(d, out);
  put_fifth_bits(q, out + 2);
  put_nibbles(q, out + 6);
}

void q5_1_block(const float* in, uint8_t* out) {
  const Range range = range_of(in);
  const float d = (range.high - range.low) / 31, id = inverse(d);
  int q[kSmall];
  for (int i = 0; i < kSmall; ++i) q[i] = truncated((in[i] - range.low) * id + 0.5f, 31);
  put_half(d, out);
  put_half(range.low, out + 2);
  put_fifth_bits(q, out + 4);
  put_nibbles(q, out + 8);
}

using WriteBlock = void (*)(const float* in, uint8_t* out);

WriteBlock block_writer(GgufType type) {
  switch (type) {
    case GgufType::kF32:
      return f32_block;
    case GgufType::kF16:
      return f16_block;
    case GgufType::kBF16:
      return bf16_block;
    case GgufType::kQ8_0:
      return q8_0_block;
    case GgufType::kQ4_0:
      return q4_0_block;
    case GgufType::kQ5_0:
      return q5_0_block;
    case GgufType::kQ5_1:
      return q5_1_block;
    case GgufType::kQ4_K:
      return quantize_q4_k_block;
    case GgufType::kQ5_K:
      return quantize_q5_k_block;
    case GgufType::kQ6_K:
      return quantize_q6_k_block;
    default:
      return nullptr;
  }
}

// A block's fp16 scale must not overflow either; its values are at most this large.
constexpr float kMostHalf = 65504;

}  // namespace

bool can_write_gguf(GgufType type) { return block_writer(type) != nullptr; }

int64_t gguf_row_bytes(GgufType type, int64_t elements) {
  const GgufTypeInfo& info = gguf_type_info(type);
  if (elements % info.block_elements != 0)
    throw std::logic_error("gguf: a row is not a whole number of blocks");
  return elements / info.block_elements * info.block_bytes;
}

bool quantize_gguf_row(GgufType type, std::span<const float> row, std::byte* out) {
  const WriteBlock write = block_writer(type);
  if (!write) throw std::logic_error("gguf: this type is not written");
  const bool wide = type == GgufType::kF32 || type == GgufType::kBF16;
  for (const float value : row) {
    if (!std::isfinite(value) || (!wide && std::abs(value) > kMostHalf)) return false;
  }
  const GgufTypeInfo& info = gguf_type_info(type);
  auto* bytes = reinterpret_cast<uint8_t*>(out);
  const auto elements = static_cast<int64_t>(row.size());
  for (int64_t i = 0; i < elements / info.block_elements; ++i)
    write(row.data() + i * info.block_elements, bytes + i * info.block_bytes);
  return true;
}

}  // namespace gradus
