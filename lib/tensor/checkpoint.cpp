// SPDX-License-Identifier: Apache-2.0
#include "tensor/checkpoint.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

namespace gradus::ops {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Layer = std::function<Tensor(const Tensor&)>;

// `anchor` requires gradients so that backward runs even when x does not (the first layer).
struct Checkpoint : torch::autograd::Function<Checkpoint> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& anchor,
                        const Layer& layer) {
    const at::NoGradGuard no_gradients;
    (void)anchor;
    context->save_for_backward({x});
    context->saved_data["needs_x"] = x.requires_grad();
    layer_of(context) = layer;
    return layer(x);
  }

  static variable_list backward(AutogradContext* context, const variable_list& incoming) {
    const at::AutoGradMode gradients(true);
    const bool needs_x = context->saved_data["needs_x"].toBool();
    const Tensor x = context->get_saved_variables()[0].detach().requires_grad_(needs_x);
    const Tensor y = layer_of(context)(x);
    torch::autograd::backward({y}, {incoming[0]});
    layer_of(context) = nullptr;
    return {needs_x ? x.grad() : Tensor(), Tensor(), Tensor()};
  }

  // The layer travels in the context as an opaque holder.
  struct Holder : torch::CustomClassHolder {
    Layer layer;
  };
  static Layer& layer_of(AutogradContext* context) {
    auto& slot = context->saved_data["layer"];
    if (slot.isNone()) slot = c10::IValue::make_capsule(c10::make_intrusive<Holder>());
    return static_cast<Holder*>(slot.toCapsule().get())->layer;
  }
};

}  // namespace

Tensor checkpoint(const Layer& layer, const Tensor& x) {
  if (!at::GradMode::is_enabled()) return layer(x);
  const Tensor anchor = at::zeros({}, x.options().dtype(at::kFloat)).requires_grad_(true);
  return Checkpoint::apply(x, anchor, layer);
}

}  // namespace gradus::ops
