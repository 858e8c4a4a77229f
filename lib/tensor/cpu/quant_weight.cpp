// SPDX-License-Identifier: Apache-2.0
#include "tensor/cpu/quant_weight.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <stdexcept>

namespace gradus::cpu {
namespace {

int64_t scale_bytes(const QuantShape& s) { return s.scale_dtype == DType::kFloat32 ? 4 : 2; }
int64_t columns_per_lane(const QuantShape& s) { return s.format == QuantFormat::kInt4 ? 8 : 4; }
int64_t block_count(const QuantShape& s) { return (s.n + kQuantBlock - 1) / kQuantBlock; }

// Bytes before group g of a block: every group before it is a whole one.
int64_t group_offset(const QuantShape& s, int64_t g) {
  return g * kQuantBlock * scale_bytes(s) + g * s.group / columns_per_lane(s) * kQuantBlock * 4;
}

// Where the 32 bits of (row, column step) lie after the group's scales.
int64_t lane_offset(const QuantShape& s, int64_t row, int64_t step) {
  return kQuantBlock * scale_bytes(s) + (step * kQuantBlock + row) * 4;
}

// The +8 nibbles of 8 columns as two's complement, even columns below odd ones.
uint32_t interleave_nibbles(uint32_t packed) {
  const uint32_t q = packed ^ 0x88888888u;
  uint32_t lane = 0;
  for (int p = 0; p < 8; ++p) {
    const int column = p < 4 ? 2 * p : 2 * (p - 4) + 1;
    lane |= (q >> (4 * column) & 15u) << (4 * p);
  }
  return lane;
}

float scale_at(DType dtype, const std::byte* p) {
  uint32_t bits = 0;
  if (dtype == DType::kFloat32) {
    std::memcpy(&bits, p, 4);
  } else {
    uint16_t half;
    std::memcpy(&half, p, 2);
    bits = static_cast<uint32_t>(half) << 16;
  }
  return std::bit_cast<float>(bits);
}

int signed_value(const QuantShape& s, uint32_t lane, int64_t column) {
  if (s.format == QuantFormat::kInt8) {
    return static_cast<int8_t>(lane >> (8 * (column % 4)) & 255u);
  }
  const int64_t p = column % 2 * 4 + column % 8 / 2;
  return static_cast<int>((lane >> (4 * p) & 15u) ^ 8u) - 8;
}

// lane_of(row, lane index along k): the 32 bits to store.
template <class LaneOf>
void pack_blocks(const QuantShape& s, const void* scales, std::byte* out, const LaneOf& lane_of) {
  check_quant_shape(s);
  const int64_t bytes = quant_block_bytes(s), groups = quant_groups(s);
  const int64_t per_lane = columns_per_lane(s), sb = scale_bytes(s);
  const auto* scale = static_cast<const std::byte*>(scales);
#pragma omp parallel for
  for (int64_t b = 0; b < block_count(s); ++b) {
    std::byte* block = out + b * bytes;
    std::memset(block, 0, static_cast<size_t>(bytes));
    const int64_t rows = std::min(kQuantBlock, s.n - b * kQuantBlock);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t n = b * kQuantBlock + r;
      for (int64_t g = 0; g < groups; ++g) {
        std::byte* group = block + group_offset(s, g);
        std::memcpy(group + r * sb, scale + (n * groups + g) * sb, static_cast<size_t>(sb));
        const int64_t steps = std::min(s.group, s.k - g * s.group) / per_lane;
        for (int64_t i = 0; i < steps; ++i) {
          const uint32_t lane = lane_of(n, g * s.group / per_lane + i);
          std::memcpy(group + lane_offset(s, r, i), &lane, 4);
        }
      }
    }
  }
}

}  // namespace

void check_quant_shape(const QuantShape& s) {
  if (s.n <= 0 || s.k <= 0 || s.k % 8 != 0 || s.group <= 0 || s.group % 8 != 0) {
    throw std::logic_error("[quant_matmul] k and group must be positive multiples of 8");
  }
}

int64_t quant_groups(const QuantShape& s) { return (s.k + s.group - 1) / s.group; }

int64_t quant_block_bytes(const QuantShape& s) {
  return kQuantBlock * (quant_groups(s) * scale_bytes(s) + s.k / columns_per_lane(s) * 4);
}

int64_t quant_packed_bytes(const QuantShape& s) { return block_count(s) * quant_block_bytes(s); }

void pack_int4(const QuantShape& s, const Int4Source& source, std::byte* out) {
  pack_blocks(s, source.scales, out, [&](int64_t n, int64_t i) {
    return interleave_nibbles(static_cast<uint32_t>(source.packed[n * (s.k / 8) + i]));
  });
}

void pack_int8(const QuantShape& s, const Int8Source& source, std::byte* out) {
  pack_blocks(s, source.scales, out, [&](int64_t n, int64_t i) {
    uint32_t lane;
    std::memcpy(&lane, source.values + n * s.k + 4 * i, 4);
    return lane;
  });
}

void dequantize_rows(const QuantWeight& weight, int64_t begin, int64_t end, float* out) {
  const QuantShape& s = weight.shape;
  const int64_t per_lane = columns_per_lane(s);
  for (int64_t n = begin; n < end; ++n) {
    const std::byte* block = weight.data + n / kQuantBlock * quant_block_bytes(s);
    const int64_t r = n % kQuantBlock;
    for (int64_t k = 0; k < s.k; ++k) {
      const std::byte* group = block + group_offset(s, k / s.group);
      uint32_t lane;
      std::memcpy(&lane, group + lane_offset(s, r, k % s.group / per_lane), 4);
      const auto q = static_cast<float>(signed_value(s, lane, k % s.group));
      out[(n - begin) * s.k + k] = q * scale_at(s.scale_dtype, group + r * scale_bytes(s));
    }
  }
}

}  // namespace gradus::cpu
