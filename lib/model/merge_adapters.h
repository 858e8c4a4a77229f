// SPDX-License-Identifier: Apache-2.0
// Several adapters as one (PEFT's add_weighted_adapter), and an adapter as part of its base.
#pragma once

#include <vector>

#include "model/adapter.h"
#include "model/merge_recipe.h"

namespace gradus {

struct WeightedAdapter {
  Adapter adapter;
  double weight = 1.0;
  double density = 1.0;
};

// One adapter that stands for all; a single one of weight 1 is taken as it is. kCat is the exact
// weighted sum of the updates; the other methods combine A and B apart, each with the square root
// of its weight, and need equal ranks. Throws gradus::Error for adapters with magnitudes (DoRA),
// biases or whole modules, which no such sum describes.
Adapter combine_adapters(std::vector<WeightedAdapter> parts, MergeMethod method, uint64_t seed);

// The logits of fixed tokens: with the adapter, with the merged weights, and with those as stored.
struct MergeCheck {
  int64_t tokens = 0;
  double largest_logit = 0;
  double largest_difference = 0;   // that merging makes
  double rounding_difference = 0;  // that rounding makes upon it
};

// merge_lora of a model in fp32, then every weight rounded to `stored`, the dtype that it will be
// written in. Throws gradus::Error when the merged weights compute something else than the adapter;
// what rounding changes is told only, for it may turn which experts a router chooses.
MergeCheck merge_checked(Transformer& model, c10::ScalarType stored);

}  // namespace gradus
