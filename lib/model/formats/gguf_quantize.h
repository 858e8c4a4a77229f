// SPDX-License-Identifier: Apache-2.0
// From fp32 rows to GGUF's block types.
//
// Goals: F32, F16, BF16, Q8_0, Q4_0, Q5_0 and Q5_1 give the bytes of llama.cpp's reference (and of
// its `gguf` package); Q4_K, Q5_K and Q6_K choose scales by a weighted least-squares search.
// Results depend on the row alone, not on threads. Non-goals: importance matrices; the other types.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "model/formats/gguf.h"

namespace gradus {

// Whether quantize_gguf_row writes this type.
bool can_write_gguf(GgufType type);

// The bytes of a row of `elements`, which must be a whole number of blocks.
int64_t gguf_row_bytes(GgufType type, int64_t elements);

// `out` has gguf_row_bytes entries. Returns false when a value is not finite, or is not in the
// type's range (F16); `out` is then not to be used.
bool quantize_gguf_row(GgufType type, std::span<const float> row, std::byte* out);

}  // namespace gradus
