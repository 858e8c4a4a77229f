// SPDX-License-Identifier: Apache-2.0
// Plain data parallelism on the CPU for work outside libtorch.
#pragma once

#include <cstdint>
#include <functional>

namespace gradus {

// Calls body(begin, end) on disjoint ranges that cover [0, count), each at least `grain` long
// (except when count is less), on up to usable_cores() threads, and waits for all. The first
// exception of a body is rethrown here.
void parallel_for(int64_t count, int64_t grain,
                  const std::function<void(int64_t begin, int64_t end)>& body);

}  // namespace gradus
