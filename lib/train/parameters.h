// SPDX-License-Identifier: Apache-2.0
// Which weights are trained: all, chosen layers, or adapters.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "model/lora.h"
#include "model/transformer.h"
#include "train/recipe.h"

namespace gradus {

// Rows [first, first + rows) of a leaf are the tensor that files call `name`.
struct ParameterPart {
  std::string name;
  int64_t first = 0;
  int64_t rows = 0;
};

// One tensor that receives gradients. Fused projections are one leaf with several parts; states
// are saved per part, so that a checkpoint does not depend on what is fused.
struct TrainedParameter {
  at::Tensor leaf;
  std::vector<ParameterPart> parts;
  bool decayed = false;  // weight decay applies
};

LoraConfig lora_config(const LoraRecipe& recipe);

// Throws gradus::Error when the recipe names layers that such a model does not have.
void check_trained_parts(const TrainingRecipe& recipe, const ModelConfig& config);

// Turns on gradients for what the recipe trains and off for the rest; method lora attaches the
// adapters first. Throws gradus::Error for layers that the model does not have, and for quantised
// models.
std::vector<TrainedParameter> choose_parameters(Transformer& model, const TrainingRecipe& recipe);

int64_t count_numbers(const std::vector<TrainedParameter>& parameters);

}  // namespace gradus
