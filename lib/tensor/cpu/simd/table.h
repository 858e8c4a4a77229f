// SPDX-License-Identifier: Apache-2.0
// The table of all kernels, as compiled by the including file.
#pragma once

#include "tensor/cpu/kernels.h"
#include "tensor/cpu/simd/adamw.h"
#include "tensor/cpu/simd/cross_entropy.h"
#include "tensor/cpu/simd/decode_attention.h"
#include "tensor/cpu/simd/gemv.h"
#include "tensor/cpu/simd/packed_attention.h"
#include "tensor/cpu/simd/quant_matmul.h"
#include "tensor/cpu/simd/rms_norm.h"
#include "tensor/cpu/simd/rope.h"
#include "tensor/cpu/simd/swiglu.h"
#include "tensor/cpu/simd/wkv4.h"
#include "tensor/cpu/simd/wkv7.h"
#include "tensor/cpu/simd/wkv7_backward.h"

namespace gradus::cpu {
namespace {

constexpr CpuKernels make_table(Isa isa) {
  return {.isa = isa,
          .quant_matmul = quant_matmul,
          .gemv = gemv,
          .rms_norm = rms_norm,
          .rms_norm_backward = rms_norm_backward,
          .rope = rope,
          .swiglu = swiglu,
          .swiglu_backward = swiglu_backward,
          .decode_attention = decode_attention,
          .packed_attention = packed_attention,
          .packed_attention_backward = packed_attention_backward,
          .wkv4 = wkv4,
          .wkv4_backward = wkv4_backward,
          .wkv7 = wkv7,
          .wkv7_backward = wkv7_backward,
          .adamw = adamw,
          .sum_of_squares = sum_of_squares,
          .log_sum_exp = log_sum_exp,
          .cross_entropy_grad = cross_entropy_grad};
}

}  // namespace
}  // namespace gradus::cpu
