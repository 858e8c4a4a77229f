// SPDX-License-Identifier: Apache-2.0
// Which projections a recipe leaves as they are.
#pragma once

#include <string>
#include <vector>

#include "model/transformer.h"

namespace gradus {

// The full names of all projections that `patterns` mean, in the model's order. A pattern is a full
// name, the end of one ("down_proj", "mlp.down_proj"), or a regular expression after "re:" that
// fits from the name's beginning on, as in llm-compressor. "lm_head" is always allowed. Throws
// gradus::Error with the nearest names for a pattern that means none.
std::vector<std::string> ignored_projections(const Transformer& model,
                                             const std::vector<std::string>& patterns);

}  // namespace gradus
