// SPDX-License-Identifier: Apache-2.0
// The recurrences' kernels, their gradients and their states against the plain compositions.
#include "tensor/recurrence.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/zeros.h>

#include "unit/tensor/autograd_support.h"

namespace gradus {
namespace {

using at::Tensor;
using Inputs = std::vector<Tensor>;

// Lengths on both sides of a chunk of the kernels, 32, and a segment of one token.
const std::vector<int64_t> kStarts = {0, 1, 34, 66, 79};

Differentiated in_double(const std::function<Tensor(const Inputs&)>& op, const Inputs& inputs) {
  Inputs wide;
  for (const Tensor& x : inputs) wide.push_back(x.to(at::kDouble));
  return differentiate(op, wide);
}

Inputs wkv4_inputs(int64_t tokens, int64_t width, c10::ScalarType dtype) {
  return {-values({width}, 1).exp(), values({width}, 2), 3 * values({tokens, width}, 3, dtype),
          values({tokens, width}, 4, dtype)};
}

// r, log_decay, k, v, a, b; a and b as RWKV-7 has them: -κ and κ times a rate.
Inputs wkv7_inputs(int64_t tokens, int64_t width, c10::ScalarType dtype) {
  const auto x = [&](uint64_t seed) { return values({tokens, 2, width}, seed); };
  const Tensor removal = x(5) / x(5).norm(2, -1, true);
  Inputs inputs = {x(1),     -0.6 * at::sigmoid(x(2)),   0.3 * x(3), x(4),
                   -removal, removal * at::sigmoid(x(6))};
  for (Tensor& t : inputs) t = t.to(dtype);
  return inputs;
}

ops::Wkv4Input wkv4_of(const Inputs& in) { return {in[0], in[1], in[2], in[3]}; }
ops::Wkv7Input wkv7_of(const Inputs& in) { return {in[0], in[1], in[2], in[3], in[4], in[5]}; }

// The rows [first, last) of inputs that have as many rows as tokens.
Inputs part(const Inputs& inputs, int64_t tokens, int64_t first, int64_t last) {
  Inputs rows;
  for (const Tensor& x : inputs)
    rows.push_back(x.size(0) == tokens ? x.narrow(0, first, last - first) : x);
  return rows;
}

// Two sequences of `tokens` side by side, in passes of 5, 1 and the rest tokens, equal one pass;
// and a second wave continues what the first has written.
void check_states(const std::function<Tensor(const Inputs&, const ops::SegmentStates&)>& op,
                  const Inputs& inputs, int64_t tokens, const Tensor& rows) {
  const Tensor whole = op(inputs, ops::segments_without_past({0, tokens}));
  Inputs outputs;
  int64_t past = 0;
  for (const int64_t end : {int64_t{5}, int64_t{6}, tokens}) {
    const int64_t count = end - past;
    Inputs both;
    for (const Tensor& x : part(inputs, tokens, past, end))
      both.push_back(x.size(0) == count ? at::cat({x, x}, 0) : x);
    const int64_t from = past == 0 ? -1 : 0;
    const Tensor y = op(
        both,
        {.waves = {{{0, count, from < 0 ? -1 : 2, 2}, {count, 2 * count, from, 0}}}, .rows = rows});
    check_close(y.narrow(0, 0, count), y.narrow(0, count, count));
    outputs.push_back(y.narrow(0, 0, count));
    past = end;
  }
  check_close(at::cat(outputs, 0), whole, 10);
  const Tensor waves = op(inputs, {.waves = {{{0, 7, -1, 1}}, {{7, tokens, 1, -1}}}, .rows = rows});
  check_close(waves, whole, 10);
}

}  // namespace

TEST_CASE("token_shift and its gradient equal the plain composition") {
  const auto op = [](const Inputs& in) {
    return ops::token_shift(in[0], ops::segments_without_past(kStarts));
  };
  const auto plain = [](const Inputs& in) {
    return ops::reference::token_shift(in[0], ops::segments_without_past(kStarts));
  };
  const Inputs inputs = {values({79, 9}, 1)};
  check_same(differentiate(op, inputs), differentiate(plain, inputs));
  CHECK(op(inputs)[1].abs().max().item<float>() == 0);
  CHECK(op(inputs)[2].equal(inputs[0][1]));
}

TEST_CASE("wkv4 and its gradients equal the plain composition") {
  const auto op = [](const Inputs& in) {
    return ops::wkv4(wkv4_of(in), ops::segments_without_past(kStarts));
  };
  const auto plain = [](const Inputs& in) {
    return ops::reference::wkv4(wkv4_of(in), ops::segments_without_past(kStarts));
  };
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const Inputs inputs = wkv4_inputs(79, 37, dtype);
    check_same(differentiate(op, inputs), in_double(plain, inputs), dtype == at::kFloat ? 20 : 2);
  }
}

TEST_CASE("wkv4 stays finite for keys of any size") {
  Inputs inputs = wkv4_inputs(79, 16, at::kFloat);
  inputs[2] = inputs[2] * 1e3;
  const auto op = [](const Inputs& in) {
    return ops::wkv4(wkv4_of(in), ops::segments_without_past(kStarts));
  };
  const Differentiated result = differentiate(op, inputs);
  CHECK(result.value.isfinite().all().item<bool>());
  for (const Tensor& gradient : result.gradients) CHECK(gradient.isfinite().all().item<bool>());
}

TEST_CASE("wkv7 and its gradients equal the plain composition") {
  const auto op = [](const Inputs& in) {
    return ops::wkv7(wkv7_of(in), ops::segments_without_past(kStarts));
  };
  const auto plain = [](const Inputs& in) {
    return ops::reference::wkv7(wkv7_of(in), ops::segments_without_past(kStarts));
  };
  for (const int64_t width : {16, 32, 64, 128}) {
    for (const auto dtype : {at::kFloat, at::kBFloat16}) {
      if (dtype == at::kBFloat16 && width != 32) continue;
      INFO("heads of " << width);
      const Inputs inputs = wkv7_inputs(79, width, dtype);
      check_same(differentiate(op, inputs), in_double(plain, inputs), dtype == at::kFloat ? 50 : 4);
    }
  }
}

TEST_CASE("states continue sequences as if they had not been cut") {
  const at::NoGradGuard no_gradients;
  const auto states = [](const std::vector<int64_t>& sizes) { return at::zeros(sizes); };
  check_states(
      [](const Inputs& in, const ops::SegmentStates& s) { return ops::token_shift(in[0], s); },
      {values({20, 9}, 1)}, 20, states({3, 9}));
  for (const auto& wkv4 : {ops::wkv4, ops::reference::wkv4})
    check_states(
        [&](const Inputs& in, const ops::SegmentStates& s) { return wkv4(wkv4_of(in), s); },
        wkv4_inputs(20, 37, at::kFloat), 20, states({3, 3, 37}));
  for (const auto& wkv7 : {ops::wkv7, ops::reference::wkv7})
    check_states(
        [&](const Inputs& in, const ops::SegmentStates& s) { return wkv7(wkv7_of(in), s); },
        wkv7_inputs(20, 32, at::kFloat), 20, states({3, 2, 32, 32}));
}

}  // namespace gradus
