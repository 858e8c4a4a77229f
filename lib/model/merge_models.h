// SPDX-License-Identifier: Apache-2.0
// Whole models merged tensor by tensor, from file to file: nothing is held but one tensor of each.
#pragma once

#include "base/files.h"
#include "model/merge_recipe.h"

namespace gradus {

// Throws gradus::Error naming the tensor or key in which the recipe's models (and base) differ so
// that they cannot be merged, and for quantised models.
void check_mergeable(const MergeRecipe& recipe);

// Writes weights, config.json and tokenizer of recipe.models merged; what is not weights comes from
// the base, or the first model without one. `folder` exists and is empty.
void merge_models(const MergeRecipe& recipe, const fs::path& folder);

}  // namespace gradus
