// SPDX-License-Identifier: Apache-2.0
// Activation checkpointing (Chen et al. 2016): keep a layer's input only, and run the layer again
// in the backward pass.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace gradus::ops {

using Tensors = std::vector<at::Tensor>;

// layer(inputs), with its activations recomputed in backward. Gradients reach the inputs and every
// parameter the layer uses, of which at least one must require them. All tensors are defined, and
// none is both an input and an output. The layer must be deterministic. With gradients turned off
// it is simply layer(inputs).
Tensors checkpoint(const std::function<Tensors(const Tensors&)>& layer, const Tensors& inputs);

}  // namespace gradus::ops
