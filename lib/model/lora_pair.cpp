// SPDX-License-Identifier: Apache-2.0
#include "model/lora_pair.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/matmul.h>

#include "tensor/ops.h"

namespace gradus {
namespace {

// W + scale · B A, fp32.
at::Tensor direction(const at::Tensor& weight, const LoraPair& pair) {
  return weight.to(at::kFloat) +
         at::matmul(pair.b.to(at::kFloat), pair.a.to(at::kFloat)) * pair.scale;
}

}  // namespace

// The row lengths are constants to the gradient, as section 4.3 of the DoRA paper suggests.
at::Tensor row_gains(const at::Tensor& weight, const LoraPair& pair) {
  at::Tensor lengths;
  {
    const at::NoGradGuard no_gradients;
    lengths = row_lengths(direction(weight, pair));
  }
  return pair.magnitude.to(at::kFloat) / lengths;
}

at::Tensor row_lengths(const at::Tensor& weight) {
  return at::linalg_vector_norm(weight.to(at::kFloat), 2, {1});
}

at::Tensor merged_weight(const at::Tensor& weight, const LoraPair& pair) {
  const at::Tensor merged = direction(weight, pair);
  return pair.magnitude.defined() ? merged * row_gains(weight, pair).unsqueeze(1) : merged;
}

// The scale goes to the narrow product in the middle, where it costs nothing.
at::Tensor lora_update(const LoraPair& pair, const at::Tensor& x, const LoraBase& base) {
  const at::Tensor narrow =
      ops::linear(x.to(pair.a.scalar_type()), pair.a, {}) * pair.scale;  // [T, r]
  const at::Tensor bias = pair.bias.defined() ? pair.bias * pair.scale : pair.bias;
  at::Tensor update = ops::linear(narrow, pair.b, bias);
  if (pair.magnitude.defined()) {
    const at::Tensor gains = row_gains(base.weight, pair);
    const at::Tensor own = base.bias.defined() ? base.y - base.bias : base.y.clone();
    update = update * gains + own * (gains - 1);
  }
  return update.to(base.y.scalar_type());
}

}  // namespace gradus
