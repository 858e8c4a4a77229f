// SPDX-License-Identifier: Apache-2.0
#include "tensor/ops.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/add.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/silu.h>
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

Tensor rotary(const Tensor& x, const Tensor& cos, const Tensor& sin) {
  return fused_cpu::applies(x) ? fused_cpu::rotary(x, cos, sin) : reference::rotary(x, cos, sin);
}

Tensor swiglu(const Tensor& gate_up) {
  return fused_cpu::applies(gate_up) ? fused_cpu::swiglu(gate_up) : reference::swiglu(gate_up);
}

namespace reference {

Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps) {
  const Tensor wide = x.to(at::kFloat);
  const Tensor scale = at::rsqrt(at::mean(wide * wide, {-1}, true) + eps);
  return (wide * scale).to(x.scalar_type()) * weight;
}

Tensor rotary(const Tensor& x, const Tensor& cos, const Tensor& sin) {
  const auto halves = x.to(at::kFloat).chunk(2, -1);
  const Tensor c = cos.unsqueeze(1), s = sin.unsqueeze(1);  // [T, 1, Dh/2]
  return at::cat({halves[0] * c - halves[1] * s, halves[1] * c + halves[0] * s}, -1)
      .to(x.scalar_type());
}

Tensor swiglu(const Tensor& gate_up) {
  const auto halves = gate_up.chunk(2, -1);
  return at::silu(halves[0]) * halves[1];
}

}  // namespace reference
}  // namespace gradus::ops
