// SPDX-License-Identifier: Apache-2.0
#include "tensor/ops.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/add.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tanh.h>
#include <torch/csrc/autograd/custom_function.h>

#include "tensor/fused_cpu.h"

namespace gradus::ops {

namespace {

// Up to this many rows one pass over the weight beats a general matrix product.
constexpr int64_t kSmallRows = 4;

bool small_and_constant(const Tensor& x, const Tensor& weight) {
  return fused_cpu::applies(x) && x.dim() == 2 && x.size(0) <= kSmallRows &&
         weight.is_contiguous() && weight.scalar_type() == x.scalar_type() &&
         !at::GradMode::is_enabled();
}

// In place, so that adapters cost no copy of a projection's output; the gradients of the values are
// views of the incoming one.
struct AddToColumns : torch::autograd::Function<AddToColumns> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& y,
                        at::TensorList values, const std::vector<int64_t>& first) {
    std::vector<int64_t> widths;
    for (size_t i = 0; i < values.size(); ++i) {
      widths.push_back(values[i].size(1));
      y.narrow(1, first[i], widths[i]).add_(values[i]);
    }
    context->mark_dirty({y});
    context->saved_data["first"] = first;
    context->saved_data["widths"] = widths;
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& incoming) {
    const std::vector<int64_t> first = context->saved_data["first"].toIntVector(),
                               widths = context->saved_data["widths"].toIntVector();
    torch::autograd::variable_list gradients = {incoming[0]};
    for (size_t i = 0; i < first.size(); ++i)
      gradients.push_back(incoming[0].narrow(1, first[i], widths[i]));
    gradients.emplace_back();
    return gradients;
  }
};

}  // namespace

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  if (small_and_constant(x, weight)) return fused_cpu::small_linear(x, weight, bias);
  return bias.defined() ? at::linear(x, weight, bias) : at::linear(x, weight);
}

Tensor add_to_columns(const Tensor& y, const std::vector<ColumnUpdate>& updates) {
  if (updates.empty()) return y;
  std::vector<Tensor> values;
  std::vector<int64_t> first;
  for (const ColumnUpdate& update : updates) {
    values.push_back(update.value);
    first.push_back(update.first);
  }
  return AddToColumns::apply(y, at::TensorList(values), first);
}

Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps) {
  return fused_cpu::applies(x) ? fused_cpu::rms_norm(x, weight, eps)
                               : reference::rms_norm(x, weight, eps);
}

Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  const auto given = [](const Tensor& t) {
    return t.defined() ? std::optional<Tensor>(t) : std::nullopt;
  };
  return at::layer_norm(x, {x.size(-1)}, given(weight), given(bias), eps);
}

Tensor rotary(const Tensor& x, const Tensor& cos, const Tensor& sin, RotaryPairs pairs) {
  return fused_cpu::applies(x) && pairs == RotaryPairs::kHalves
             ? fused_cpu::rotary(x, cos, sin)
             : reference::rotary(x, cos, sin, pairs);
}

Tensor swiglu(const Tensor& gate_up) {
  return fused_cpu::applies(gate_up) ? fused_cpu::swiglu(gate_up) : reference::swiglu(gate_up);
}

Tensor activate(const Tensor& x, Activation activation) {
  switch (activation) {
    case Activation::kSilu:
      return at::silu(x);
    case Activation::kGelu:
      return at::gelu(x);
    case Activation::kGeluTanh:
      return at::gelu(x, "tanh");
    case Activation::kRelu:
      return at::relu(x);
    case Activation::kReluSquared:
      return at::relu(x).square();
  }
  return x;
}

Tensor gated(const Tensor& gate_up, Activation activation) {
  if (activation == Activation::kSilu) return swiglu(gate_up);
  const auto halves = gate_up.chunk(2, -1);
  return activate(halves[0], activation) * halves[1];
}

Tensor softcap(const Tensor& x, double cap) { return cap == 0.0 ? x : at::tanh(x / cap) * cap; }

namespace reference {

Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps) {
  const Tensor wide = x.to(at::kFloat);
  const Tensor normed = wide * at::rsqrt(at::mean(wide * wide, {-1}, true) + eps);
  return (normed.to(weight.scalar_type()) * weight).to(x.scalar_type());
}

Tensor rotary(const Tensor& x, const Tensor& cos, const Tensor& sin, RotaryPairs pairs) {
  const int64_t rotated = 2 * cos.size(1);
  const Tensor wide = x.narrow(-1, 0, rotated).to(at::kFloat);
  const Tensor c = cos.unsqueeze(1), s = sin.unsqueeze(1);  // [T, 1, R/2]
  const bool adjacent = pairs == RotaryPairs::kAdjacent;
  const auto parts = adjacent ? wide.unflatten(-1, {rotated / 2, 2}).unbind(-1) : wide.chunk(2, -1);
  const std::vector<Tensor> turned = {parts[0] * c - parts[1] * s, parts[1] * c + parts[0] * s};
  const Tensor y =
      (adjacent ? at::stack(turned, -1).flatten(-2) : at::cat(turned, -1)).to(x.scalar_type());
  if (rotated == x.size(-1)) return y;
  return at::cat({y, x.narrow(-1, rotated, x.size(-1) - rotated)}, -1);
}

Tensor swiglu(const Tensor& gate_up) {
  const auto halves = gate_up.chunk(2, -1);
  return at::silu(halves[0]) * halves[1];
}

}  // namespace reference
}  // namespace gradus::ops
