// SPDX-License-Identifier: Apache-2.0
// Activation checkpointing (Chen et al. 2016): keep a layer's input only, and run the layer again
// in the backward pass.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

namespace gradus::ops {

// layer(x), with its activations recomputed in backward. Gradients reach x and every parameter the
// layer uses, of which at least one must require them. The layer must be deterministic. With
// gradients turned off it is simply layer(x).
at::Tensor checkpoint(const std::function<at::Tensor(const at::Tensor&)>& layer,
                      const at::Tensor& x);

}  // namespace gradus::ops
