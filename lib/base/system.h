// SPDX-License-Identifier: Apache-2.0
// Facts about this machine and process.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gradus {

int64_t peak_resident_bytes();
int64_t resident_bytes();
// Starts a new peak measurement where the kernel allows it (/proc/self/clear_refs).
void reset_peak_resident();
int64_t available_memory_bytes();
int64_t total_memory_bytes();
// Lets the allocator keep large freed blocks for reuse instead of handing them back to the kernel,
// which would clear every page again at the next use: training spent a quarter of its time there.
void keep_freed_memory();
// Cores this process may use: the affinity mask, capped by the cgroup quota.
int usable_cores();
std::string cpu_model();
// Of {"avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16",
// "amx_tile"}, those present.
std::vector<std::string> cpu_features();
std::string program_version();  // "0.1.0+" and a hash of the sources of lib/ and apps/

// "1.5 GiB", "12,345"
std::string human_bytes(int64_t bytes);
std::string with_commas(int64_t number);

}  // namespace gradus
