// SPDX-License-Identifier: Apache-2.0
// One block of 256 values of a K-quant. Layouts: gguf_dequantize.cpp.
#pragma once

#include <cstdint>

namespace gradus {

// Stores a number in fp16 and returns what is stored.
float put_half(float value, uint8_t* out);

void quantize_q4_k_block(const float* in, uint8_t* out);  // 144 bytes
void quantize_q5_k_block(const float* in, uint8_t* out);  // 176 bytes
void quantize_q6_k_block(const float* in, uint8_t* out);  // 210 bytes

}  // namespace gradus
