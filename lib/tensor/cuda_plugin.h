// SPDX-License-Identifier: Apache-2.0
// Finds and opens libgradus_cuda.so beside the program.
#pragma once

#include <string>
#include <vector>

#include "tensor/cuda/plugin.h"

namespace gradus {

struct CudaPlugin {
  bool open = false;
  std::string detail;           // where it is, or why it is not used
  std::vector<GradusGpu> gpus;  // only when open
};

// Opened once; later calls return the first result.
const CudaPlugin& cuda_plugin();

}  // namespace gradus
