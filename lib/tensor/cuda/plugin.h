// SPDX-License-Identifier: Apache-2.0
// The CUDA plug-in: libgradus_cuda.so, built where nvcc is found and opened at run time where a
// driver is present, so that the program itself needs neither. Its interface is plain C.
// Now it describes the GPUs; hand-written kernels join it as they are proven faster.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

// What a plug-in is asked for first; another number is refused.
constexpr int32_t kGradusCudaInterface = 1;
int32_t gradus_cuda_interface();

struct GradusGpu {
  char name[256];
  int64_t memory_bytes;
  int32_t major;  // compute capability
  int32_t minor;
  int32_t multiprocessors;
};
// Fills up to `capacity` entries; returns how many GPUs there are, or a negative CUDA error code.
int32_t gradus_cuda_gpus(GradusGpu* gpus, int32_t capacity);
}
