// SPDX-License-Identifier: Apache-2.0
// The recipe of `gradus model merge`.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "recipe/recipe.h"

namespace gradus {

enum class MergeMethod {
  kCat,
  kLinear,
  kTies,
  kDareLinear,
  kDareTies,
  kMagnitudePrune,
  kTaskArithmetic,
  kSlerp
};

std::span<const EnumName<MergeMethod>> enum_names(MergeMethod);
std::string to_string(MergeMethod method);

inline bool is_dare(MergeMethod method) {
  return method == MergeMethod::kDareLinear || method == MergeMethod::kDareTies;
}
inline bool elects_signs(MergeMethod method) {
  return method == MergeMethod::kTies || method == MergeMethod::kDareTies;
}
inline bool keeps_largest(MergeMethod method) {
  return method == MergeMethod::kTies || method == MergeMethod::kMagnitudePrune;
}
inline bool has_density(MergeMethod method) { return is_dare(method) || keeps_largest(method); }

// An adapter or a model that is merged.
struct MergePartRecipe {
  std::string path;
  double weight = 1.0;
  double density = 1.0;

  template <class V>
  void visit(V& v) {
    v("path", path, "its folder", rule::required, rule::path_input);
    v("weight", weight, "its share; negative takes away");
    v("density", density,
      "ties, dare_linear, dare_ties and magnitude_prune: the share of its values that is kept",
      rule::above(0), rule::at_most(1));
  }
};

struct MergeRecipe {
  std::string base = {};
  std::string out = {};
  std::vector<MergePartRecipe> adapters = {};
  std::vector<MergePartRecipe> models = {};
  std::optional<MergeMethod> method = {};
  double t = 0.5;
  double lambda = 1.0;
  std::optional<bool> normalize = {};
  int64_t seed = 0;
  std::optional<std::string> dtype = {};
  bool allow_other_base = false;

  template <class V>
  void visit(V& v) {
    v("base", base,
      "the model that the adapters were trained on, or that the models' changes are counted from",
      rule::path_input);
    v("out", out, "the merged model folder to write; must not exist", rule::required,
      rule::path_output);
    v("adapters", adapters, "adapters to merge into the base");
    v("models", models, "models to merge with each other");
    v("method", method,
      "adapters: cat (default: the exact weighted sum), linear, ties, dare_linear, dare_ties, "
      "magnitude_prune; models: linear, task_arithmetic, ties, dare_linear, dare_ties, slerp");
    v("t", t, "slerp: from 0, the first model, to 1, the second", rule::in_range(0, 1));
    v("lambda", lambda, "factor of the merged change to the base");
    v("normalize", normalize,
      "models: divide by the weights that count; default: true for linear and ties");
    v("seed", seed, "of the values that dare_linear and dare_ties drop", rule::at_least(0));
    v("dtype", dtype, "of the merged weights; default: the base's",
      rule::one_of({"float32", "bfloat16", "float16"}));
    v("allow_other_base", allow_other_base,
      "merge into a base that the adapter was not trained on");
  }
  void check(Problems& problems) const;

  MergeMethod chosen_method() const { return method.value_or(MergeMethod::kCat); }
  bool normalized() const {
    return normalize.value_or(method == MergeMethod::kLinear || method == MergeMethod::kTies);
  }
};

}  // namespace gradus
