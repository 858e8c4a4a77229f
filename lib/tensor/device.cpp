// SPDX-License-Identifier: Apache-2.0
#include "tensor/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <dlfcn.h>

#include <array>
#include <utility>

#include "base/error.h"
#include "base/system.h"

namespace gradus {
namespace {

struct DtypeRow {
  c10::ScalarType type;
  const char* name;
  const char* safetensors;
};

constexpr std::array<DtypeRow, 12> kDtypes{{
    {c10::ScalarType::Float, "float32", "F32"},
    {c10::ScalarType::BFloat16, "bfloat16", "BF16"},
    {c10::ScalarType::Half, "float16", "F16"},
    {c10::ScalarType::Double, "float64", "F64"},
    {c10::ScalarType::Char, "int8", "I8"},
    {c10::ScalarType::Byte, "uint8", "U8"},
    {c10::ScalarType::Short, "int16", "I16"},
    {c10::ScalarType::Int, "int32", "I32"},
    {c10::ScalarType::Long, "int64", "I64"},
    {c10::ScalarType::Bool, "bool", "BOOL"},
    {c10::ScalarType::Float8_e4m3fn, "float8_e4m3fn", "F8_E4M3"},
    {c10::ScalarType::Float8_e5m2, "float8_e5m2", "F8_E5M2"},
}};

CudaStatus open_cuda() {
  // The driver first: without it the backend would load and then fail on first use.
  if (!::dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL))
    return {false, "no NVIDIA driver (libcuda.so.1)"};
  if (!::dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL)) {
    return {false, std::string("the CUDA part of libtorch cannot be opened: ") + ::dlerror()};
  }
  if (!at::globalContext().hasCUDA()) return {false, "libtorch finds no usable GPU"};
  const auto count = at::detail::getCUDAHooks().deviceCount();
  if (count == 0) return {false, "the driver reports no GPU"};
  return {true, cat(static_cast<int>(count), " GPU(s)")};
}

}  // namespace

const CudaStatus& cuda_status() {
  static const CudaStatus status = open_cuda();
  return status;
}

c10::Device select_device(const std::string& name) {
  if (name == "cpu") return c10::Device(c10::kCPU);
  if (name == "auto")
    return cuda_status().usable ? c10::Device(c10::kCUDA, 0) : c10::Device(c10::kCPU);
  const bool indexed = name.rfind("cuda:", 0) == 0 && name.size() > 5 && name.size() < 8 &&
                       name.find_first_not_of("0123456789", 5) == std::string::npos;
  if (name != "cuda" && !indexed) {
    throw Error({.what = "unknown device",
                 .where = "device",
                 .expected = "auto, cpu, cuda or cuda:N",
                 .found = printable(name)});
  }
  if (!cuda_status().usable) {
    throw Error({.what = "no GPU can be used: " + cuda_status().detail,
                 .where = "device: " + name,
                 .hint = "use device: auto or cpu"});
  }
  const int index = indexed ? std::stoi(name.substr(5)) : 0;
  const int count = static_cast<int>(at::detail::getCUDAHooks().deviceCount());
  if (index >= count) {
    throw Error({.what = "there is no such GPU",
                 .where = "device: " + name,
                 .expected = cat("an index below ", count)});
  }
  return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(index));
}

c10::ScalarType dtype_from_name(const std::string& name) {
  for (const DtypeRow& row : kDtypes) {
    if (name == row.name) return row.type;
  }
  throw Error({.what = "unknown dtype",
               .expected = "float32, bfloat16 or float16",
               .found = printable(name)});
}

std::string dtype_name(c10::ScalarType dtype) {
  for (const DtypeRow& row : kDtypes) {
    if (dtype == row.type) return row.name;
  }
  throw std::logic_error("dtype without a name");
}

c10::ScalarType dtype_from_safetensors(const std::string& name, const std::string& where) {
  for (const DtypeRow& row : kDtypes) {
    if (name == row.safetensors) return row.type;
  }
  throw Error({.what = "unsupported tensor dtype", .where = where, .found = printable(name)});
}

std::string safetensors_dtype(c10::ScalarType dtype) {
  for (const DtypeRow& row : kDtypes) {
    if (dtype == row.type) return row.safetensors;
  }
  throw std::logic_error("dtype without a safetensors name");
}

void set_compute_threads(int threads) {
  at::set_num_threads(threads > 0 ? threads : usable_cores());
}

}  // namespace gradus
