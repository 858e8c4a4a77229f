// SPDX-License-Identifier: Apache-2.0
// Token by token in libtorch's operators: slow, on every device, differentiable by autograd.
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <functional>

#include "tensor/recurrence.h"

namespace gradus::ops {
namespace {

// What the kernels compute in: fp32, or double where the inputs are.
Tensor wide(const Tensor& x) { return x.scalar_type() == at::kDouble ? x : x.to(at::kFloat); }

// The outputs of the segments in the order of their tokens; run(segment) returns one's.
Tensor in_token_order(const SegmentStates& states, int64_t tokens,
                      const std::function<Tensor(const StateSegment&)>& run) {
  std::vector<Tensor> by_token(static_cast<size_t>(tokens));
  for (const auto& wave : states.waves) {
    for (const StateSegment& segment : wave) {
      const auto rows = run(segment).unbind(0);
      std::copy(rows.begin(), rows.end(), by_token.begin() + segment.begin);
    }
  }
  return at::stack(by_token, 0);
}

Tensor past_of(const SegmentStates& states, const StateSegment& segment) {
  return segment.from < 0 ? Tensor() : states.rows.select(0, segment.from);
}

void keep(const SegmentStates& states, const StateSegment& segment, const Tensor& state) {
  if (segment.to >= 0) states.rows.select(0, segment.to).copy_(state.detach());
}

}  // namespace

SegmentStates segments_without_past(const std::vector<int64_t>& starts) {
  SegmentStates states{.waves = {{}}};
  for (size_t i = 0; i + 1 < starts.size(); ++i)
    states.waves[0].push_back({.begin = starts[i], .end = starts[i + 1]});
  return states;
}

namespace reference {

Tensor token_shift(const Tensor& x, const SegmentStates& states) {
  return in_token_order(states, x.size(0), [&](const StateSegment& segment) {
    const int64_t count = segment.end - segment.begin;
    const Tensor own = x.narrow(0, segment.begin, count);
    const Tensor past = past_of(states, segment);
    const Tensor first =
        past.defined() ? past.to(x.scalar_type()).clone() : at::zeros({x.size(1)}, x.options());
    keep(states, segment, own.select(0, count - 1));
    return at::cat({first.unsqueeze(0), own.narrow(0, 0, count - 1)}, 0);
  });
}

Tensor wkv4(const Wkv4Input& in, const SegmentStates& states) {
  const Tensor decay = wide(in.log_decay), first = wide(in.first), keys = wide(in.k),
               values = wide(in.v);
  const Tensor y = in_token_order(states, keys.size(0), [&](const StateSegment& segment) {
    const Tensor past = past_of(states, segment);
    const Tensor zero = at::zeros_like(keys.select(0, 0));
    Tensor num = past.defined() ? past[0].clone() : zero;
    Tensor den = past.defined() ? past[1].clone() : zero;
    Tensor max = past.defined() ? past[2].clone() : at::full_like(zero, -1e38);
    std::vector<Tensor> outputs;
    for (int64_t t = segment.begin; t < segment.end; ++t) {
      const Tensor k = keys.select(0, t), v = values.select(0, t);
      const Tensor top = at::maximum(max, k + first);
      const Tensor before = at::exp(max - top), own = at::exp(k + first - top);
      outputs.push_back((before * num + own * v) / (before * den + own));
      const Tensor next = at::maximum(max + decay, k);
      const Tensor kept = at::exp(max + decay - next), fresh = at::exp(k - next);
      num = kept * num + fresh * v;
      den = kept * den + fresh;
      max = next;
    }
    keep(states, segment, at::stack({num, den, max}, 0));
    return at::stack(outputs, 0);
  });
  return y.to(in.k.scalar_type());
}

Tensor wkv7(const Wkv7Input& in, const SegmentStates& states) {
  const Tensor r = wide(in.r), decay = at::exp(wide(in.log_decay)), keys = wide(in.k),
               values = wide(in.v), a = wide(in.a), b = wide(in.b);
  const int64_t H = r.size(1), Dh = r.size(2);
  const auto column = [](const Tensor& x, int64_t t) { return x.select(0, t).unsqueeze(2); };
  const auto row = [](const Tensor& x, int64_t t) { return x.select(0, t).unsqueeze(1); };
  const Tensor y = in_token_order(states, r.size(0), [&](const StateSegment& segment) {
    const Tensor past = past_of(states, segment);
    Tensor state = past.defined() ? past.clone() : at::zeros({H, Dh, Dh}, r.options());
    std::vector<Tensor> outputs;
    for (int64_t t = segment.begin; t < segment.end; ++t) {
      const Tensor removed = at::matmul(row(a, t), state);  // [H, 1, Dh]
      state = column(decay, t) * state + column(b, t) * removed + column(keys, t) * row(values, t);
      outputs.push_back(at::matmul(row(r, t), state).squeeze(1));
    }
    keep(states, segment, state);
    return at::stack(outputs, 0);
  });
  return y.to(in.r.scalar_type());
}

}  // namespace reference
}  // namespace gradus::ops
