// SPDX-License-Identifier: Apache-2.0
// One table per file kernels_<isa>.cpp; private to lib/tensor/cpu.
#pragma once

#include "tensor/cpu/kernels.h"

namespace gradus::cpu {

const CpuKernels& generic_kernels();
const CpuKernels& avx2_kernels();
const CpuKernels& avx512_kernels();
const CpuKernels& avx512_bf16_kernels();

}  // namespace gradus::cpu
