// SPDX-License-Identifier: Apache-2.0
#include "train/optimizer.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>

#include "tensor/cpu/kernels.h"
#include "tensor/views.h"

namespace gradus {
namespace {

using at::Tensor;

cpu::ConstArray flat(const Tensor& x) {
  TORCH_CHECK(x.is_contiguous(), "gradient must be dense");
  return {.data = x.const_data_ptr(), .dtype = cpu::dtype_of(x)};
}

double squares_on_cpu(const std::vector<Tensor>& tensors) {
  double total = 0;
  for (const Tensor& x : tensors)
    total += cpu::cpu_kernels().sum_of_squares({.values = flat(x), .count = x.numel()});
  return total;
}

}  // namespace

void GradientSum::take(int64_t micro_batches) {
  const at::NoGradGuard no_gradients;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    Tensor leaf = parameters_[i].leaf;
    Tensor& gradient = leaf.mutable_grad();
    TORCH_CHECK(gradient.defined(), "no gradient for ", parameters_[i].parts[0].name);
    if (sums_[i].defined()) {
      sums_[i].add_(gradient);
    } else {
      sums_[i] = (micro_batches > 1 ? gradient.to(at::kFloat) : gradient).contiguous();
    }
    gradient.reset();
  }
}

double GradientSum::norm() const {
  if (sums_.empty()) return 0;
  if (sums_[0].is_cpu()) return std::sqrt(squares_on_cpu(sums_));
  std::vector<Tensor> norms;
  for (const Tensor& x : sums_)
    norms.push_back(at::linalg_vector_norm(x, 2, {}, false, at::kFloat));
  return at::linalg_vector_norm(at::stack(norms)).item<double>();
}

void GradientSum::clear() {
  for (Tensor& sum : sums_) sum.reset();
}

AdamW::AdamW(const std::vector<TrainedParameter>& parameters, const OptimizerRecipe& recipe)
    : parameters_(parameters), recipe_(recipe) {
  const at::NoGradGuard no_gradients;
  for (const TrainedParameter& parameter : parameters_) {
    const Tensor leaf = parameter.leaf.detach();
    const Tensor master = leaf.to(at::kFloat);
    slots_.push_back({master, at::zeros_like(master), at::zeros_like(master)});
  }
}

void AdamW::step(const std::vector<Tensor>& gradients, double lr, double grad_scale) {
  const at::NoGradGuard no_gradients;
  ++steps_done_;
  if (!slots_.empty() && !slots_[0].master.is_cpu()) return step_device(gradients, lr, grad_scale);
  for (size_t i = 0; i < slots_.size(); ++i) step_cpu(i, gradients[i], lr, grad_scale);
}

void AdamW::step_cpu(size_t index, const Tensor& gradient, double lr, double grad_scale) {
  const TrainedParameter& parameter = parameters_[index];
  Slot& slot = slots_[index];
  const bool rounded = parameter.leaf.scalar_type() == at::kBFloat16;
  const auto done = static_cast<double>(steps_done_);
  cpu::cpu_kernels().adamw(
      {.param = slot.master.data_ptr<float>(),
       .param_copy = rounded ? static_cast<cpu::Bf16*>(parameter.leaf.data_ptr()) : nullptr,
       .grad = flat(gradient),
       .exp_avg = slot.exp_avg.data_ptr<float>(),
       .exp_avg_sq = slot.exp_avg_sq.data_ptr<float>(),
       .count = slot.master.numel(),
       .lr = static_cast<float>(lr),
       .beta1 = static_cast<float>(recipe_.beta1),
       .beta2 = static_cast<float>(recipe_.beta2),
       .eps = static_cast<float>(recipe_.eps),
       .weight_decay = static_cast<float>(parameter.decayed ? recipe_.weight_decay : 0.0),
       .bias_correction1 = static_cast<float>(1 - std::pow(recipe_.beta1, done)),
       .bias_correction2 = static_cast<float>(1 - std::pow(recipe_.beta2, done)),
       .grad_scale = static_cast<float>(grad_scale)});
}

void AdamW::step_device(const std::vector<Tensor>& gradients, double lr, double grad_scale) {
  const Tensor step = at::full({}, static_cast<double>(steps_done_), slots_[0].master.options());
  for (const bool decayed : {false, true}) {
    std::vector<Tensor> masters, wide, exp_avgs, exp_avg_sqs, steps;
    for (size_t i = 0; i < slots_.size(); ++i) {
      if (parameters_[i].decayed != decayed) continue;
      masters.push_back(slots_[i].master);
      wide.push_back(gradients[i].to(at::kFloat) * grad_scale);
      exp_avgs.push_back(slots_[i].exp_avg);
      exp_avg_sqs.push_back(slots_[i].exp_avg_sq);
      steps.push_back(step);
    }
    if (masters.empty()) continue;
    at::_fused_adamw_(masters, wide, exp_avgs, exp_avg_sqs, {}, steps, lr, recipe_.beta1,
                      recipe_.beta2, decayed ? recipe_.weight_decay : 0.0, recipe_.eps, false,
                      false);
  }
  for (size_t i = 0; i < slots_.size(); ++i) parameters_[i].leaf.detach().copy_(slots_[i].master);
}

std::vector<AdamWState> AdamW::states() const {
  std::vector<AdamWState> states;
  for (size_t i = 0; i < slots_.size(); ++i) {
    for (const ParameterPart& part : parameters_[i].parts) {
      const auto add = [&](const char* prefix, const Tensor& whole) {
        states.push_back({prefix + part.name, whole.narrow(0, part.first, part.rows)});
      };
      add("master.", slots_[i].master);
      add("exp_avg.", slots_[i].exp_avg);
      add("exp_avg_sq.", slots_[i].exp_avg_sq);
    }
  }
  return states;
}

void AdamW::restored(int64_t steps_done) {
  const at::NoGradGuard no_gradients;
  steps_done_ = steps_done;
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (!parameters_[i].leaf.is_same(slots_[i].master))
      parameters_[i].leaf.detach().copy_(slots_[i].master);
  }
}

}  // namespace gradus
