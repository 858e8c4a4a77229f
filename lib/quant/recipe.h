// SPDX-License-Identifier: Apache-2.0
// The recipe of `gradus quantize`.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "recipe/recipe.h"

namespace gradus {

enum class QuantScheme { kInt8, kInt4 };

inline std::span<const EnumName<QuantScheme>> enum_names(QuantScheme) {
  static constexpr EnumName<QuantScheme> kNames[] = {{"int8", QuantScheme::kInt8},
                                                     {"int4", QuantScheme::kInt4}};
  return kNames;
}

struct QuantizeRecipe {
  std::string model;
  std::string out;
  QuantScheme scheme = QuantScheme::kInt4;
  std::optional<int64_t> group_size = {};
  bool search_clipping = true;
  std::vector<std::string> ignore = {"lm_head"};
  int64_t threads = 0;

  template <class V>
  void visit(V& v) {
    v("model", model, "the model folder to quantise", rule::required, rule::path_input);
    v("out", out, "the quantised model folder to write; must not exist", rule::required,
      rule::path_output);
    v("scheme", scheme, "int8: one scale per output channel; int4: one scale per group of weights");
    v("group_size", group_size, "weights that share a scale (int4); default: 64",
      rule::in_range(8, 4096));
    v("search_clipping", search_clipping,
      "choose each scale for the least squared error instead of the largest weight");
    v("ignore", ignore,
      "projections that stay as they are: names, ends of names (down_proj), or re:PATTERN");
    v("threads", threads, "CPU threads; 0: all usable cores", rule::at_least(0));
  }

  void check(Problems& problems) const {
    if (group_size && scheme == QuantScheme::kInt8)
      problems.add("group_size", "has no effect: int8 has one scale per output channel");
    if (group_size && *group_size % 8 != 0) problems.add("group_size", "must be a multiple of 8");
  }
};

}  // namespace gradus
