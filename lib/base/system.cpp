// SPDX-License-Identifier: Apache-2.0
#include "base/system.h"

#include <malloc.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "gradus_version.h"  // written by cmake/WriteVersion.cmake

namespace gradus {
namespace {

// The value in kB of a "Name:   123 kB" line of a /proc file, in bytes; 0 when absent.
int64_t proc_bytes(const char* path, const std::string& name) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    if (line.rfind(name + ":", 0) != 0) continue;
    return std::stoll(line.substr(name.size() + 1)) * 1024;
  }
  return 0;
}

// Cores granted by the cgroup's CPU quota, or a large number when there is none.
int quota_cores() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return 1 << 20;
  return std::max(1, static_cast<int>(std::ceil(std::stod(quota) / period)));
}

}  // namespace

int64_t peak_resident_bytes() { return proc_bytes("/proc/self/status", "VmHWM"); }
int64_t resident_bytes() { return proc_bytes("/proc/self/status", "VmRSS"); }

void reset_peak_resident() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5";
}

int64_t available_memory_bytes() { return proc_bytes("/proc/meminfo", "MemAvailable"); }
int64_t total_memory_bytes() { return proc_bytes("/proc/meminfo", "MemTotal"); }

void keep_freed_memory() {
  ::setenv("THP_MEM_ALLOC_ENABLE", "1", 0);  // libtorch's own switch for huge pages
  ::mallopt(M_MMAP_MAX, 0);  // the threshold cannot be raised above 32 MB, so no block is mapped
  ::mallopt(M_TRIM_THRESHOLD, -1);  // never: the largest int would be 2 GB
  ::mallopt(M_TOP_PAD, 64 << 20);
}

int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  const int by_affinity = ::sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
  return std::max(1, std::min(by_affinity, quota_cores()));
}

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line)) {
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

std::vector<std::string> cpu_features() {
  static constexpr const char* kInteresting[] = {"avx2",        "fma",         "f16c",
                                                 "avx512f",     "avx512bw",    "avx512vl",
                                                 "avx512_vnni", "avx512_bf16", "amx_tile"};
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line) && line.rfind("flags", 0) != 0) {
  }
  std::istringstream words(line);
  std::vector<std::string> present, found;
  for (std::string word; words >> word;) present.push_back(word);
  for (const char* feature : kInteresting) {
    if (std::find(present.begin(), present.end(), feature) != present.end())
      found.emplace_back(feature);
  }
  return found;
}

std::string program_version() { return kGradusVersion; }

std::string human_bytes(int64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  int unit = 0;
  while (value >= 1024 && unit < 4) {
    value /= 1024;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return text;
}

std::string with_commas(int64_t number) {
  std::string digits = std::to_string(number < 0 ? -number : number);
  for (auto at = static_cast<int64_t>(digits.size()) - 3; at > 0; at -= 3)
    digits.insert(static_cast<size_t>(at), ",");
  return number < 0 ? "-" + digits : digits;
}

}  // namespace gradus
