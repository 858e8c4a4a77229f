// SPDX-License-Identifier: Apache-2.0
// A per-thread buffer that grows and is reused: kernels allocate nothing once it is warm.
#pragma once

#include <cstdlib>
#include <new>

#include "tensor/cpu/simd/loops.h"

namespace gradus::cpu {
namespace {

struct Scratch {
  void* data = nullptr;
  int64_t bytes = 0;
  ~Scratch() { std::free(data); }
};

// At least `count` elements, 64-byte aligned; valid until the calling thread's next call.
// Call it outside parallel regions: it throws std::bad_alloc when memory is exhausted.
template <class T>
inline T* scratch(int64_t count) {
  static thread_local Scratch buffer;
  const int64_t wanted = ceil_div(count * static_cast<int64_t>(sizeof(T)), 4096) * 4096;
  if (wanted > buffer.bytes) {
    std::free(buffer.data);
    buffer.data = std::aligned_alloc(64, static_cast<size_t>(wanted));
    buffer.bytes = buffer.data ? wanted : 0;
    if (!buffer.data) throw std::bad_alloc();
  }
  return static_cast<T*>(buffer.data);
}

}  // namespace
}  // namespace gradus::cpu
