// SPDX-License-Identifier: Apache-2.0
// The kernels compiled for one instruction set; the flags are in lib/tensor/CMakeLists.txt.
#include "tensor/cpu/isa_tables.h"
#include "tensor/cpu/simd/table.h"

namespace gradus::cpu {

const CpuKernels& avx2_kernels() {
  static constexpr CpuKernels kTable = make_table(Isa::kAvx2);
  return kTable;
}

}  // namespace gradus::cpu
