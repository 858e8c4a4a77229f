// SPDX-License-Identifier: Apache-2.0
#include "model/merge_recipe.h"

#include <algorithm>

namespace gradus {
namespace {

void check_adapters(const MergeRecipe& recipe, Problems& problems) {
  const MergeMethod method = recipe.chosen_method();
  if (recipe.base.empty()) problems.add("base", "is missing: adapters are merged into a base");
  if (method == MergeMethod::kSlerp || method == MergeMethod::kTaskArithmetic)
    problems.add("method", to_string(method) + " is for models");
  if (recipe.lambda != 1.0) problems.add("lambda", "has no effect on adapters: use their weights");
  if (recipe.normalize) problems.add("normalize", "has no effect on adapters");
}

void check_models(const MergeRecipe& recipe, Problems& problems) {
  if (!recipe.method) return problems.add("method", "is missing: how are the models merged?");
  if (recipe.method == MergeMethod::kCat || recipe.method == MergeMethod::kMagnitudePrune)
    return problems.add("method", to_string(*recipe.method) + " is for adapters");
  const bool based =
      *recipe.method != MergeMethod::kLinear && *recipe.method != MergeMethod::kSlerp;
  const std::string name = to_string(*recipe.method);
  if (based && recipe.base.empty())
    problems.add("base", "is missing: " + name + " adds changes to a base");
  if (!based && !recipe.base.empty()) problems.add("base", "has no effect: method is " + name);
  if (!based && recipe.lambda != 1.0) problems.add("lambda", "has no effect: method is " + name);
  if (recipe.models.size() < (based ? 1 : 2)) problems.add("models", name + " needs two models");
  if (recipe.allow_other_base) problems.add("allow_other_base", "has no effect on models");
  if (*recipe.method != MergeMethod::kSlerp) return;
  if (recipe.models.size() > 2) problems.add("models", "slerp merges two models");
  if (recipe.normalize) problems.add("normalize", "has no effect: method is slerp");
  for (const MergePartRecipe& part : recipe.models) {
    if (part.weight != 1.0) problems.add("models", "slerp has no weights: give t");
  }
}

}  // namespace

std::span<const EnumName<MergeMethod>> enum_names(MergeMethod) {
  static constexpr EnumName<MergeMethod> kNames[] = {
      {"cat", MergeMethod::kCat},
      {"linear", MergeMethod::kLinear},
      {"ties", MergeMethod::kTies},
      {"dare_linear", MergeMethod::kDareLinear},
      {"dare_ties", MergeMethod::kDareTies},
      {"magnitude_prune", MergeMethod::kMagnitudePrune},
      {"task_arithmetic", MergeMethod::kTaskArithmetic},
      {"slerp", MergeMethod::kSlerp}};
  return kNames;
}

std::string to_string(MergeMethod method) {
  for (const auto& entry : enum_names(method)) {
    if (entry.value == method) return entry.name;
  }
  return "";
}

void MergeRecipe::check(Problems& problems) const {
  if (adapters.empty() == models.empty())
    return problems.add(adapters.empty() ? "adapters" : "models",
                        "give adapters to merge into a base, or models to merge: one of the two");
  models.empty() ? check_adapters(*this, problems) : check_models(*this, problems);
  if (t != 0.5 && method != MergeMethod::kSlerp) problems.add("t", "has no effect without slerp");
  if (has_density(chosen_method())) return;
  for (const auto* list : {&adapters, &models}) {
    for (const MergePartRecipe& part : *list) {
      if (part.density != 1.0)
        problems.add(list == &models ? "models" : "adapters",
                     "density has no effect: method is " + to_string(chosen_method()));
    }
  }
}

}  // namespace gradus
