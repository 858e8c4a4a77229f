// SPDX-License-Identifier: Apache-2.0
// The rules of a recipe's fields, then its check() hooks.
#pragma once

#include <string>
#include <vector>

#include "recipe/recipe.h"

namespace gradus {

// Adds every broken rule to `problems`, defaults included. What already has a problem is left out,
// and a struct's check() runs only when nothing in the struct has one.
void validate(detail::AnyRecipe recipe, const std::string& key, Problems& problems,
              InputPaths inputs);

// ">= 0 and < 1", "" without bounds.
std::string bounds_text(const Rules& rules);

// The rules that hold for each value inside an optional, list or map.
Rules rules_of_items(const Rules& rules, TypeKind container);

}  // namespace gradus
