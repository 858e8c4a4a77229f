// SPDX-License-Identifier: Apache-2.0
#include "tensor/checkpoint.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

namespace gradus::ops {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Layer = std::function<Tensors(const Tensors&)>;

// `anchor` requires gradients so that backward runs even when no input does (the first layer).
struct Checkpoint : torch::autograd::Function<Checkpoint> {
  static variable_list forward(AutogradContext* context, at::TensorList inputs,
                               const Tensor& anchor, const Layer& layer) {
    const at::NoGradGuard no_gradients;
    (void)anchor;
    std::vector<int64_t> needed;
    for (const Tensor& x : inputs) needed.push_back(x.requires_grad());
    context->save_for_backward(inputs.vec());
    context->saved_data["needed"] = needed;
    layer_of(context) = layer;
    return layer(inputs.vec());
  }

  static variable_list backward(AutogradContext* context, const variable_list& incoming) {
    const at::AutoGradMode gradients(true);
    const std::vector<int64_t> needed = context->saved_data["needed"].toIntVector();
    Tensors inputs;
    for (const Tensor& x : context->get_saved_variables())
      inputs.push_back(x.detach().requires_grad_(needed[inputs.size()] != 0));
    torch::autograd::backward(layer_of(context)(inputs), incoming);
    layer_of(context) = nullptr;
    variable_list result;
    for (const Tensor& x : inputs) result.push_back(x.requires_grad() ? x.grad() : Tensor());
    result.resize(inputs.size() + 2);  // none for the anchor and the layer
    return result;
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

Tensors checkpoint(const Layer& layer, const Tensors& inputs) {
  if (!at::GradMode::is_enabled()) return layer(inputs);
  const auto options = inputs.at(0).options().dtype(at::kFloat);
  const Tensor anchor = at::zeros({}, options).requires_grad_(true);
  return Checkpoint::apply(at::TensorList(inputs), anchor, layer);
}

}  // namespace gradus::ops
