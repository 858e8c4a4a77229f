// SPDX-License-Identifier: Apache-2.0
// What a model costs, measured beside its quality.
#pragma once

#include "base/json.h"
#include "eval/recipe.h"
#include "model/transformer.h"

namespace gradus {

// Throws gradus::Error when the model has too few positions for that.
void check_speed(const SpeedRecipe& recipe, const ModelConfig& config);
// {"prefill_tokens_per_second", "decode_tokens_per_second", "prompt_tokens", "new_tokens",
// "repeats"}: medians of a prompt in one pass and of greedy tokens one at a time, one sequence.
Json measure_speed(const Transformer& model, const SpeedRecipe& recipe);

}  // namespace gradus
