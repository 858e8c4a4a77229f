// SPDX-License-Identifier: Apache-2.0
// Gradients by autograd, and tensors by formula, for tests of differentiable operations.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <vector>

#include "base/rng.h"

// Last: libtorch has a CHECK of its own.
#include "support/catch.h"

namespace gradus {

// About normal in [-2, 2], the same in every run.
inline at::Tensor values(const std::vector<int64_t>& sizes, uint64_t seed,
                         c10::ScalarType dtype = at::kFloat) {
  at::Tensor x = at::empty(sizes, at::kFloat);
  for (int64_t i = 0; i < x.numel(); ++i) {
    double sum = -2;
    for (uint64_t j = 0; j < 4; ++j) sum += random_uniform(seed, j, static_cast<uint64_t>(i));
    x.data_ptr<float>()[i] = static_cast<float>(sum);
  }
  return x.to(dtype);
}

inline int64_t integer(uint64_t seed, int64_t below) {
  return static_cast<int64_t>(random_bits(seed, 0, 0) % static_cast<uint64_t>(below));
}

struct Differentiated {
  at::Tensor value;
  std::vector<at::Tensor> gradients;  // of sum(value · weights by formula)
};

inline Differentiated differentiate(
    const std::function<at::Tensor(const std::vector<at::Tensor>&)>& op,
    const std::vector<at::Tensor>& inputs) {
  std::vector<at::Tensor> leaves;
  for (const at::Tensor& x : inputs)
    leaves.push_back(x.detach().clone().set_requires_grad(x.is_floating_point()));
  const at::Tensor y = op(leaves);
  const at::Tensor incoming = values(y.sizes().vec(), 99, at::kBFloat16);  // exact in any dtype
  torch::autograd::backward({y}, {incoming.to(y.scalar_type())});
  Differentiated result{y.detach(), {}};
  for (const at::Tensor& leaf : leaves) result.gradients.push_back(leaf.grad());
  return result;
}

// torch.testing's defaults by dtype, times `looser`; bf16 with an absolute part of 1e-3, because
// sums of O(1) terms that were each rounded may cancel. NaN fails.
inline void check_close(const at::Tensor& actual, const at::Tensor& expected, double looser = 1) {
  REQUIRE(actual.defined());
  REQUIRE(actual.sizes().equals(expected.sizes()));
  const bool narrow = actual.scalar_type() == at::kBFloat16;
  const double rtol = (narrow ? 1.6e-2 : 1.3e-6) * looser, atol = (narrow ? 1e-3 : 1e-5) * looser;
  const at::Tensor a = actual.to(at::kDouble), b = expected.to(at::kDouble);
  const double excess = ((a - b).abs() - rtol * b.abs()).max().item<double>();
  INFO("largest excess over the relative tolerance: " << excess);
  CHECK(excess <= atol);
}

inline void check_same(const Differentiated& actual, const Differentiated& expected,
                       double looser = 1) {
  check_close(actual.value, expected.value, looser);
  for (size_t i = 0; i < expected.gradients.size(); ++i) {
    INFO("gradient of input " << i);
    if (expected.gradients[i].defined())
      check_close(actual.gradients[i], expected.gradients[i], looser);
  }
}

}  // namespace gradus
