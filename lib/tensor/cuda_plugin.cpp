// SPDX-License-Identifier: Apache-2.0
#include "tensor/cuda_plugin.h"

#include <dlfcn.h>

#include <algorithm>

#include "base/error.h"
#include "base/files.h"

namespace gradus {
namespace {

template <class Function>
Function* symbol(void* library, const char* name) {
  return reinterpret_cast<Function*>(::dlsym(library, name));
}

CudaPlugin open_plugin() {
  const fs::path path = fs::read_symlink("/proc/self/exe").parent_path() / "libgradus_cuda.so";
  if (!fs::exists(path)) return {false, "not built (no CUDA toolkit when Gradus was built)", {}};
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) return {false, cat("cannot be opened: ", ::dlerror()), {}};
  const auto interface = symbol<decltype(gradus_cuda_interface)>(library, "gradus_cuda_interface");
  const auto list = symbol<decltype(gradus_cuda_gpus)>(library, "gradus_cuda_gpus");
  if (!interface || !list || interface() != kGradusCudaInterface)
    return {false, path.string() + ": from another version of Gradus", {}};
  std::vector<GradusGpu> gpus(64);
  const int32_t count = list(gpus.data(), static_cast<int32_t>(gpus.size()));
  if (count < 0)
    return {false, cat("built, but CUDA reports error ", -count, " (no driver or no GPU)"), {}};
  gpus.resize(std::min<size_t>(gpus.size(), static_cast<size_t>(count)));
  return {true, path.string(), std::move(gpus)};
}

}  // namespace

const CudaPlugin& cuda_plugin() {
  static const CudaPlugin plugin = open_plugin();
  return plugin;
}

}  // namespace gradus
