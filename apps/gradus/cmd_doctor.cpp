// SPDX-License-Identifier: Apache-2.0
// gradus doctor: what this machine offers and whether Gradus can use it.
#include <torch/headeronly/version.h>
#include <unistd.h>

#include <iostream>

#include "base/system.h"
#include "commands.h"
#include "tensor/cpu/kernels.h"
#include "tensor/cuda_plugin.h"
#include "tensor/device.h"

namespace gradus {
namespace {

Json gpu_list(const CudaPlugin& plugin) {
  Json list = Json::array();
  for (const GradusGpu& gpu : plugin.gpus) {
    list.push_back(
        {{"name", gpu.name},
         {"memory_bytes", gpu.memory_bytes},
         {"compute_capability", std::to_string(gpu.major) + "." + std::to_string(gpu.minor)},
         {"multiprocessors", gpu.multiprocessors}});
  }
  return list;
}

Json findings() {
  const CudaStatus& cuda = cuda_status();
  const CudaPlugin& plugin = cuda_plugin();
  return {{"version", program_version()},
          {"cpu",
           {{"model", cpu_model()},
            {"cores", usable_cores()},
            {"features", cpu_features()},
            {"kernels", cpu::isa_name(cpu::cpu_kernels().isa)}}},
          {"memory",
           {{"total_bytes", total_memory_bytes()}, {"available_bytes", available_memory_bytes()}}},
          {"gpu",
           {{"usable", cuda.usable},
            {"detail", cuda.detail},
            {"plugin", plugin.detail},
            {"devices", gpu_list(plugin)}}},
          {"libtorch", TORCH_VERSION}};
}

std::string joined(const Json& words) {
  std::string text;
  for (const Json& word : words) text += (text.empty() ? "" : " ") + word.get<std::string>();
  return text;
}

int run(const CommandLine& line) {
  const Json found = findings();
  if (print_json_if_asked(line, found)) return 0;
  const Json &cpu = found["cpu"], &memory = found["memory"];
  std::cout << "gradus    " << found["version"].get<std::string>() << ", libtorch "
            << found["libtorch"].get<std::string>() << "\n"
            << "CPU       " << cpu["model"].get<std::string>() << ", " << cpu["cores"] << " cores\n"
            << "features  " << joined(cpu["features"])
            << "; kernels in use: " << cpu["kernels"].get<std::string>() << "\n"
            << "memory    " << human_bytes(memory["available_bytes"]) << " available of "
            << human_bytes(memory["total_bytes"]) << "\n"
            << "GPU       " << found["gpu"]["detail"].get<std::string>() << "\n"
            << "plug-in   " << found["gpu"]["plugin"].get<std::string>() << "\n";
  for (const Json& gpu : found["gpu"]["devices"]) {
    std::cout << "          " << gpu["name"].get<std::string>() << ", "
              << human_bytes(gpu["memory_bytes"]) << ", compute capability "
              << gpu["compute_capability"].get<std::string>() << "\n";
  }
  return 0;
}

}  // namespace

Command doctor_command() {
  return {"doctor",
          "show what this machine offers: CPU, memory, GPUs, libtorch",
          "",
          nullptr,
          nullptr,
          run,
          Arguments::kNone};
}

}  // namespace gradus
