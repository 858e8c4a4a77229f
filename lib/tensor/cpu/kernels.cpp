// SPDX-License-Identifier: Apache-2.0
#include "tensor/cpu/kernels.h"

#include <initializer_list>

#include "tensor/cpu/isa_tables.h"

namespace gradus::cpu {
namespace {

#if defined(__x86_64__)
bool runs_here(Isa isa) {
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  switch (isa) {
    case Isa::kGeneric:
      return true;
    case Isa::kAvx2:
      return avx2;
    case Isa::kAvx512:
      return avx512;
    case Isa::kAvx512Bf16:
      return avx512 && __builtin_cpu_supports("avx512bf16");
  }
  return false;
}
#endif

const CpuKernels& best_kernels() {
  for (const Isa isa : {Isa::kAvx512Bf16, Isa::kAvx512, Isa::kAvx2}) {
    if (const CpuKernels* kernels = cpu_kernels_for(isa)) return *kernels;
  }
  return generic_kernels();
}

}  // namespace

const CpuKernels* cpu_kernels_for(Isa isa) {
  if (isa == Isa::kGeneric) return &generic_kernels();
#if defined(__x86_64__)
  if (!runs_here(isa)) return nullptr;
  if (isa == Isa::kAvx2) return &avx2_kernels();
  if (isa == Isa::kAvx512) return &avx512_kernels();
  return &avx512_bf16_kernels();
#else
  return nullptr;
#endif
}

const CpuKernels& cpu_kernels() {
  static const CpuKernels& kernels = best_kernels();
  return kernels;
}

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::kGeneric:
      return "generic";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx512Bf16:
      return "avx512_bf16";
  }
  return "unknown";
}

int64_t decode_attention_workspace(const DecodeAttention& args) {
  int64_t chunks = 0;
  for (int64_t i = 0; i < args.sequence_count; ++i) {
    chunks += (args.sequences[i].length + kDecodeChunk - 1) / kDecodeChunk;
  }
  return chunks * args.heads * (args.head_dim + 2);
}

}  // namespace gradus::cpu
