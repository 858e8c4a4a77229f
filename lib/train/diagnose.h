// SPDX-License-Identifier: Apache-2.0
// Where a loss or gradient stopped being finite.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "train/batch.h"
#include "train/parameters.h"

namespace gradus {

// The first place, in the order of the forward pass, that holds NaN or infinity: a weight, the
// queries, keys, values or attention output of a layer, or the last hidden states. Runs the model
// once more. Empty when everything is finite.
std::optional<std::string> first_non_finite(const Transformer& model, const Batch& batch);

// The first gradient that is not finite in the order of the backward pass (last layer first).
std::optional<std::string> first_non_finite_gradient(
    const std::vector<TrainedParameter>& parameters, const std::vector<at::Tensor>& gradients);

}  // namespace gradus
