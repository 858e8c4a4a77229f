// SPDX-License-Identifier: Apache-2.0
// Where tensors live and in which precision. The CUDA backend is not linked: it is opened at run
// time when a driver is present, so that one program serves machines with and without a GPU.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <string>

namespace gradus {

// "auto" (CUDA when usable, else CPU), "cpu", "cuda", "cuda:1". Throws gradus::Error saying why a
// requested GPU cannot be used.
c10::Device select_device(const std::string& name);

struct CudaStatus {
  bool usable = false;
  std::string detail;  // "2 GPUs", or the reason why not
};
// Opens the CUDA backend once; later calls return the first result.
const CudaStatus& cuda_status();

// "float32", "bfloat16", "float16" <-> ScalarType; throws gradus::Error naming the allowed ones.
c10::ScalarType dtype_from_name(const std::string& name);
std::string dtype_name(c10::ScalarType dtype);
// safetensors' names: "F32", "BF16", "F16", "I8", "U8", "I32", "I64", …
c10::ScalarType dtype_from_safetensors(const std::string& name, const std::string& where);
std::string safetensors_dtype(c10::ScalarType dtype);

// Threads of libtorch and of our kernels; 0 chooses the usable cores.
void set_compute_threads(int threads);

}  // namespace gradus
