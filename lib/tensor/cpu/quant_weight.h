// SPDX-License-Identifier: Apache-2.0
// A quantised weight in the layout of the CPU matmul kernels, and the repacking into it.
//
// Goals: one contiguous stream per block of 32 outputs; 4-bit stays 4-bit in memory; a group's
// scales lie beside its values. Non-goals: zero points, activation order, mixed group sizes.
//
// Layout. W is [N, K]; N is padded to a multiple of 32 by zero scales and values. For each block
// of 32 rows, for each group of `group` columns (the last may be shorter):
//   32 scales (fp32 or bf16), then vectors of 64 bytes: for each column step, rows 0-15, rows
//   16-31.
// Lane n of a vector is 32 bits of row n. int8: 4 columns, one a byte, lowest column lowest.
// int4: 8 columns in two's complement; bits 4p.. hold column 2p for p < 4, 2(p-4)+1 for p >= 4, so
// that a 16-bit half and four shifts give the (even, odd) pairs of a bf16 dot product.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/cpu/types.h"

namespace gradus::cpu {

enum class QuantFormat : uint8_t {
  kInt4,  // q in [-8, 7]
  kInt8,  // q in [-128, 127]
};

// What the packed bytes mean. One scale per row and `group` columns; a scale per channel is a group
// of k.
struct QuantShape {
  QuantFormat format = QuantFormat::kInt4;
  int64_t n = 0;
  int64_t k = 0;      // a multiple of 8
  int64_t group = 0;  // columns per scale, a multiple of 8; k: a scale per channel
  DType scale_dtype = DType::kFloat32;
};

// A view; `data` is 64-byte aligned and outlives it.
struct QuantWeight {
  QuantShape shape;
  const std::byte* data = nullptr;
};

constexpr int64_t kQuantBlock = 32;  // outputs per block

// Scales per row.
int64_t quant_groups(const QuantShape& shape);

// Throws std::logic_error when the shape breaks a rule above (callers check users' files first).
void check_quant_shape(const QuantShape& shape);
// Bytes of the packed form; of one block of 32 rows.
int64_t quant_packed_bytes(const QuantShape& shape);
int64_t quant_block_bytes(const QuantShape& shape);

// Repacks compressed-tensors `pack-quantized` values: packed [n, k/8] int32, lowest nibble first
// along k, each value stored + 8; scales [n, groups] of shape.scale_dtype. `out` has
// quant_packed_bytes() bytes, 64-byte aligned. Parallel over blocks.
struct Int4Source {
  const int32_t* packed = nullptr;
  const void* scales = nullptr;
};
void pack_int4(const QuantShape& shape, const Int4Source& source, std::byte* out);

// Repacks `int-quantized` values [n, k] int8; scales [n, groups] of
// shape.scale_dtype.
struct Int8Source {
  const int8_t* values = nullptr;
  const void* scales = nullptr;
};
void pack_int8(const QuantShape& shape, const Int8Source& source, std::byte* out);

// q * scale of rows [begin, end) as fp32 [end - begin, k]: embeddings, inspection, tests.
void dequantize_rows(const QuantWeight& weight, int64_t begin, int64_t end, float* out);

}  // namespace gradus::cpu
