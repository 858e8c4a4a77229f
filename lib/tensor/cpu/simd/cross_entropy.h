// SPDX-License-Identifier: Apache-2.0
// Row kernels of the chunked cross-entropy, and greedy choice. See kernels.h.
#pragma once

#include "tensor/cpu/kernels.h"
#include "tensor/cpu/simd/loops.h"

namespace gradus::cpu {
namespace {

template <class T>
inline float row_maximum(const T* row, int64_t n) {
  const float lowest = -__builtin_inff();
  Vec best[4] = {vset(lowest), vset(lowest), vset(lowest), vset(lowest)};
  for_each_vector(n, [&](auto v) {
    Vec& b = best[v.offset / kLanes % 4];
    b = vmax(b, v.load_or(row, lowest));
  });
  return vmax_lane(vmax(vmax(best[0], best[1]), vmax(best[2], best[3])));
}

template <class T>
inline float row_log_sum_exp(const T* row, int64_t n) {
  const float maximum = row_maximum(row, n);
  if (maximum == -__builtin_inff()) {  // nothing above -inf: -inf, or NaN if there is one
    return vector_sum(n, [&](auto v) { return v.load(row); });
  }
  const float sum = vector_sum(
      n, [&](auto v) { return vexp(v.load_or(row, -__builtin_inff()) - vset(maximum)); });
  return maximum + static_cast<float>(__builtin_log(static_cast<double>(sum)));
}

inline bool is_class(int64_t target, int64_t vocab) { return target >= 0 && target < vocab; }

inline void log_sum_exp(const LogSumExp& args) {
  with_dtype(args.logits.dtype, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    parallel_for(args.rows, args.threads, [&](int64_t t) {
      const T* row = row_of<T>(args.logits, t);
      if (args.lse) args.lse[t] = row_log_sum_exp(row, args.vocab);
      if (!args.target_logit) return;
      const int64_t target = args.targets[t];
      args.target_logit[t] = is_class(target, args.vocab) ? load_one(row + target) : 0.0f;
    });
  });
}

template <class T>
inline void cross_entropy_row(const CrossEntropyGrad& args, int64_t t) {
  T* row = row_of<T>(args.logits, t);
  const int64_t target = args.targets[t];
  if (!is_class(target, args.vocab)) {
    for_each_vector(args.vocab, [&](auto v) { v.store(row, vset(0.0f)); });
    return;
  }
  const float scale = args.common_scale * (args.scale ? args.scale[t] : 1.0f);
  const Vec lse = vset(args.lse[t]);
  const Vec at_target = (vexp(vset(load_one(row + target)) - lse) - vset(1.0f)) * vset(scale);
  for_each_vector(args.vocab, [&](auto v) { v.store(row, vexp(v.load(row) - lse) * vset(scale)); });
  vstore_n(row + target, at_target, 1);
}

inline void cross_entropy_grad(const CrossEntropyGrad& args) {
  with_dtype(args.logits.dtype, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    parallel_for(args.rows, args.threads, [&](int64_t t) { cross_entropy_row<T>(args, t); });
  });
}

}  // namespace
}  // namespace gradus::cpu
