// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "tensor/cuda/plugin.h"

extern "C" int32_t gradus_cuda_interface() { return kGradusCudaInterface; }

extern "C" int32_t gradus_cuda_gpus(GradusGpu* gpus, int32_t capacity) {
  int count = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&count); error != cudaSuccess)
    return -static_cast<int32_t>(error);
  for (int i = 0; i < count && i < capacity; ++i) {
    cudaDeviceProp properties;
    if (const cudaError_t error = cudaGetDeviceProperties(&properties, i); error != cudaSuccess)
      return -static_cast<int32_t>(error);
    std::strncpy(gpus[i].name, properties.name, sizeof gpus[i].name - 1);
    gpus[i].name[sizeof gpus[i].name - 1] = 0;
    gpus[i].memory_bytes = static_cast<int64_t>(properties.totalGlobalMem);
    gpus[i].major = properties.major;
    gpus[i].minor = properties.minor;
    gpus[i].multiprocessors = properties.multiProcessorCount;
  }
  return count;
}
