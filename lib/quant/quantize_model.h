// SPDX-License-Identifier: Apache-2.0
// A whole model folder, quantised and written in the compressed-tensors format.
#pragma once

#include "base/files.h"
#include "base/json.h"
#include "quant/recipe.h"

namespace gradus {

// What can be known from config.json: the model is not quantised, every entry of `ignore` means a
// projection, fused ones are ignored together, and rows can be split into groups.
void check_quantize(const QuantizeRecipe& recipe);

// Quantises the projections of recipe.model and writes config.json and weights into `folder`, which
// must exist; everything that is not a quantised projection keeps its dtype. Returns counts and
// errors: {"projections", "weight_bytes_before", "weight_bytes_after", "relative_error"}, the last
// being the root of the summed squared error over the summed squared weights.
Json quantize_model(const QuantizeRecipe& recipe, const fs::path& folder);

}  // namespace gradus
