// SPDX-License-Identifier: Apache-2.0
// Fused operations and their gradients against the plain compositions.
#include "tensor/ops.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/sin.h>

#include "tensor/checkpoint.h"
#include "unit/tensor/autograd_support.h"

namespace gradus {
namespace {

using at::Tensor;
using Inputs = std::vector<Tensor>;

struct Angles {
  Tensor cos, sin;
};
Angles angles(int64_t tokens, int64_t half) {
  const Tensor positions = at::arange(tokens, at::kFloat).unsqueeze(1);
  const Tensor at_rate = positions * (values({half}, 8).abs() + 0.1).unsqueeze(0);
  return {at::cos(at_rate), at::sin(at_rate)};
}

// The plain composition in double, as numbers of the op's own dtype.
Differentiated in_double(const std::function<Tensor(const Inputs&)>& op, const Inputs& inputs) {
  Inputs wide;
  for (const Tensor& x : inputs) wide.push_back(x.to(at::kDouble));
  return differentiate(op, wide);
}

double tolerance(c10::ScalarType dtype) { return dtype == at::kBFloat16 ? 1 : 20; }

const c10::ScalarType kDtypes[] = {at::kFloat, at::kBFloat16};

}  // namespace

TEST_CASE("rms_norm and its gradients equal the plain composition") {
  for (const auto dtype : kDtypes) {
    const Inputs inputs = {values({7, 48}, 1, dtype), values({48}, 2, dtype)};
    const auto fused = [](const Inputs& in) { return ops::rms_norm(in[0], in[1], 1e-5); };
    const auto plain = [](const Inputs& in) {
      return in[0] * ((in[0] * in[0]).mean(-1, true) + 1e-5).rsqrt() * in[1];
    };
    check_same(differentiate(fused, inputs), in_double(plain, inputs), tolerance(dtype));
  }
}

TEST_CASE("rotary and its gradient equal the plain composition") {
  const Angles a = angles(9, 8);
  for (const auto dtype : kDtypes) {
    const Inputs inputs = {values({9, 3, 16}, 3, dtype)};
    const auto fused = [&](const Inputs& in) { return ops::rotary(in[0], a.cos, a.sin); };
    const auto plain = [&](const Inputs& in) {
      return ops::reference::rotary(in[0], a.cos, a.sin);
    };
    check_same(differentiate(fused, inputs), differentiate(plain, inputs), tolerance(dtype));
  }
}

TEST_CASE("swiglu and its gradient equal the plain composition") {
  for (const auto dtype : kDtypes) {
    const Inputs inputs = {values({5, 62}, 4, dtype)};
    const auto op = [](const Inputs& in) { return ops::swiglu(in[0]); };
    check_same(differentiate(op, inputs), in_double(op, inputs), tolerance(dtype));
  }
}

TEST_CASE("packed attention and its gradients equal a dense softmax per segment") {
  const std::vector<std::vector<int64_t>> layouts = {
      {0, 1}, {0, 5, 12}, {0, 64, 65, 193}, {0, 200}, {0, 3, 130, 259}};
  for (const auto& starts : layouts) {
    for (const int64_t window : {0, 1, 50, 64, 100}) {
      const int64_t T = starts.back();
      const Inputs inputs = {values({T, 6, 32}, 5), values({T, 2, 32}, 6), values({T, 2, 32}, 7)};
      const ops::AttentionOptions options{.scale = 0.7, .window = window};
      const auto fused = [&](const Inputs& in) {
        return ops::packed_attention(in[0], in[1], in[2], starts, options);
      };
      const auto plain = [&](const Inputs& in) {
        return ops::reference::packed_attention(in[0], in[1], in[2], starts, options);
      };
      INFO("T " << T << ", window " << window);
      check_same(differentiate(fused, inputs), differentiate(plain, inputs), 20);
    }
  }
}

TEST_CASE("packed attention takes views of one projection and bf16") {
  const int64_t T = 90;
  const std::vector<int64_t> starts = {0, 20, T};
  const ops::AttentionOptions options{.scale = 0.2};
  const Inputs inputs = {values({T, 8, 16}, 9, at::kBFloat16)};
  const auto heads = [&](const Inputs& in, bool fused) {
    const auto parts = in[0].split_with_sizes({4, 2, 2}, 1);
    return fused ? ops::packed_attention(parts[0], parts[1], parts[2], starts, options)
                 : ops::reference::packed_attention(parts[0], parts[1], parts[2], starts, options);
  };
  check_same(differentiate([&](const Inputs& in) { return heads(in, true); }, inputs),
             differentiate([&](const Inputs& in) { return heads(in, false); }, inputs));
}

TEST_CASE("attention of head sizes without a kernel goes another way to the same result") {
  const Inputs inputs = {values({11, 2, 12}, 5), values({11, 1, 12}, 6), values({11, 1, 12}, 7)};
  const ops::AttentionOptions options{.scale = 0.3};
  const std::vector<int64_t> starts = {0, 4, 11};
  const auto fused = [&](const Inputs& in) {
    return ops::packed_attention(in[0], in[1], in[2], starts, options);
  };
  const auto plain = [&](const Inputs& in) {
    return ops::reference::packed_attention(in[0], in[1], in[2], starts, options);
  };
  check_same(differentiate(fused, inputs), differentiate(plain, inputs), 20);
}

TEST_CASE("scores that no kernel computes are made in blocks with the same result") {
  const int64_t T = 1500;  // 8 heads: more scores than a block has
  const Inputs in = {values({T, 8, 8}, 5), values({T, 2, 8}, 6), values({T, 2, 8}, 7)};
  const Tensor q = in[0].detach().clone().set_requires_grad(true);  // whose scores are kept whole
  const Tensor slopes = values({8}, 9).abs() * 0.1;
  const Tensor row = at::arange(T).unsqueeze(1), column = at::arange(T).unsqueeze(0);
  const Tensor mask = (column <= row).logical_and(column.remainder(5) != 3);
  for (const int64_t window : {0, 100}) {
    for (const bool alibi : {false, true}) {
      ops::AttentionOptions options{.scale = 0.4, .window = window};
      if (alibi)
        options.alibi_slopes = slopes;
      else
        options.softcap = 3;
      CAPTURE(window, alibi);
      const auto packed = [&](const Tensor& x) {
        return ops::packed_attention(x, in[1], in[2], {0, 700, T}, options);
      };
      const auto whole = [&](const Tensor& x) {
        return ops::packed_attention(x, in[1], in[2], {0, T}, options);
      };
      const auto last = [&](const Tensor& x) {
        return ops::cached_attention(x.narrow(0, 100, T - 100), in[1], in[2], options);
      };
      const auto masked = [&](const Tensor& x) {
        return ops::masked_attention(x, in[1], in[2], mask, options);
      };
      for (const std::function<Tensor(const Tensor&)>& attend :
           std::vector<std::function<Tensor(const Tensor&)>>{packed, whole, last, masked}) {
        const Tensor expected = attend(q).detach();
        CHECK(expected.abs().mean().item<float>() > 0.01);
        CHECK((attend(in[0]) - expected).abs().max().item<float>() <= 1e-6);
      }
    }
  }
}

TEST_CASE("a checkpointed layer has the value and the gradients of the layer") {
  const Inputs inputs = {values({6, 10}, 10), values({10, 10}, 11)};
  const auto layer = [](const Tensor& x, const Tensor& w) {
    return ops::linear(x, w, {}).tanh() + x;
  };
  const auto kept = [&](const Inputs& in) { return layer(layer(in[0], in[1]), in[1]); };
  const auto recomputed = [&](const Inputs& in) {
    const auto once = [&, w = in[1]](const Inputs& x) { return Inputs{layer(x[0], w)}; };
    return ops::checkpoint(once, ops::checkpoint(once, {in[0]}))[0];
  };
  check_same(differentiate(recomputed, inputs), differentiate(kept, inputs));
}

TEST_CASE("a checkpointed layer may take and give several tensors") {
  const Inputs inputs = {values({6, 10}, 10), values({6, 10}, 11)};
  const auto layer = [](const Inputs& x) { return Inputs{x[0].tanh() * x[1], x[1].sin()}; };
  const auto kept = [&](const Inputs& in) {
    const Inputs y = layer(layer(in));
    return y[0] + y[1];
  };
  const auto recomputed = [&](const Inputs& in) {
    const Inputs y = ops::checkpoint(layer, ops::checkpoint(layer, in));
    return y[0] + y[1];
  };
  check_same(differentiate(recomputed, inputs), differentiate(kept, inputs));
}

TEST_CASE("add_to_columns adds each value to its columns") {
  const Inputs inputs = {values({4, 9}, 12), values({4, 3}, 13), values({4, 2}, 14)};
  const auto op = [](const Inputs& in) {
    return ops::add_to_columns(in[0] * 1.0, {{1, in[1]}, {6, in[2]}});
  };
  const auto plain = [](const Inputs& in) {
    return in[0] + at::constant_pad_nd(in[1], {1, 5}) + at::constant_pad_nd(in[2], {6, 1});
  };
  check_same(differentiate(op, inputs), differentiate(plain, inputs));
}

}  // namespace gradus
