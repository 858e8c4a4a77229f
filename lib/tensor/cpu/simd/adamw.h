// SPDX-License-Identifier: Apache-2.0
// AdamW over a flat array, and the sum of squares for gradient norms. See kernels.h.
#pragma once

#include "tensor/cpu/kernels.h"
#include "tensor/cpu/simd/loops.h"

namespace gradus::cpu {
namespace {

constexpr int64_t kFlatSlice = 4096;  // elements; a multiple of the vector length

template <class G>
inline void adamw_slice(const AdamW& args, int64_t begin, int64_t count) {
  const G* grad = static_cast<const G*>(args.grad.data) + begin;
  float* param = args.param + begin;
  float* exp_avg = args.exp_avg + begin;
  float* exp_avg_sq = args.exp_avg_sq + begin;
  const Vec decay = vset(1.0f - args.lr * args.weight_decay);
  const Vec step = vset(args.lr / args.bias_correction1);
  const Vec root = vset(1.0f / __builtin_sqrtf(args.bias_correction2));
  const Vec b1 = vset(args.beta1), rest1 = vset(1.0f - args.beta1);
  const Vec b2 = vset(args.beta2), rest2 = vset(1.0f - args.beta2);
  for_each_vector(count, [&](auto v) {
    const Vec g = v.load(grad) * vset(args.grad_scale);
    const Vec m = vfma(b1, v.load(exp_avg), rest1 * g);
    const Vec s = vfma(b2, v.load(exp_avg_sq), rest2 * g * g);
    const Vec denominator = vfma(vsqrt(s), root, vset(args.eps));
    const Vec p = vfnma(step, m / denominator, v.load(param) * decay);
    v.store(exp_avg, m);
    v.store(exp_avg_sq, s);
    v.store(param, p);
    if (args.param_copy) v.store(args.param_copy + begin, p);
  });
}

inline void adamw(const AdamW& args) {
  const int threads = threads_for_bytes(args.threads, 28 * args.count);
  with_dtype(args.grad.dtype, [&](auto tag) {
    parallel_for(ceil_div(args.count, kFlatSlice), threads, [&](int64_t i) {
      const int64_t begin = i * kFlatSlice;
      adamw_slice<typename decltype(tag)::Type>(args, begin,
                                                min_of(kFlatSlice, args.count - begin));
    });
  });
}

// fp32 within a slice, double from there on.
template <class T>
inline double block_squares(const T* p, int64_t count) {
  double total = 0;
  for (int64_t i = 0; i < count; i += kFlatSlice) {
    const T* slice = p + i;
    total += static_cast<double>(vector_sum(min_of(kFlatSlice, count - i), [&](auto v) {
      const Vec x = v.load(slice);
      return x * x;
    }));
  }
  return total;
}

inline double sum_of_squares(const SumOfSquares& args) {
  constexpr int64_t kMaxBlocks = 1024;
  const int64_t slices = ceil_div(args.count, kFlatSlice);
  const int64_t block = max_of(8, ceil_div(slices, kMaxBlocks)) * kFlatSlice;
  const int64_t blocks = ceil_div(args.count, block);
  double partial[kMaxBlocks];
  const int64_t bytes = args.count * element_bytes(args.values.dtype);
  with_dtype(args.values.dtype, [&](auto tag) {
    const auto* p = static_cast<const typename decltype(tag)::Type*>(args.values.data);
    parallel_for(blocks, threads_for_bytes(args.threads, bytes), [&](int64_t i) {
      partial[i] = block_squares(p + i * block, min_of(block, args.count - i * block));
    });
  });
  double total = 0;
  for (int64_t i = 0; i < blocks; ++i) total += partial[i];
  return total;
}

}  // namespace
}  // namespace gradus::cpu
