// SPDX-License-Identifier: Apache-2.0
// A smaller model made from a larger one by keeping some of its layers.
#pragma once

#include <cstdint>
#include <vector>

#include "model/transformer.h"
#include "train/recipe.h"

namespace gradus {

// The layers that the recipe keeps of a model of `layers` layers, ascending. Throws gradus::Error
// when it names a layer that is not there, names one twice, or keeps none.
std::vector<int64_t> kept_layers(const StudentRecipe& recipe, int64_t layers);

// `model` reduced to these layers; embeddings, norms and output projection stay. Throws
// gradus::Error for a quantised model.
Transformer keep_layers(const Transformer& model, const std::vector<int64_t>& layers);

}  // namespace gradus
