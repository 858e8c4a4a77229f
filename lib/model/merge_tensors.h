// SPDX-License-Identifier: Apache-2.0
// The arithmetic of merging, one tensor at a time and in fp32. Task arithmetic: Ilharco et al.
// 2022; TIES: Yadav et al. 2023; DARE: Yu et al. 2023; SLERP: Shoemake 1985. PEFT and mergekit each
// have conventions of their own (docs/model.md), and both are here: adapters are combined as PEFT's
// add_weighted_adapter does it, models as mergekit does it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "model/merge_recipe.h"

namespace gradus {

struct MergeTerm {
  at::Tensor tensor;
  double weight = 1.0;
  double density = 1.0;  // the share of values that TIES and DARE keep
};

// Where random choices come from: each tensor has a stream of its own, so that the result does not
// depend on the order or on the number of threads.
struct MergeSeed {
  uint64_t seed = 0;
  std::string name;
};

// The terms with all but `density` of their values zero: the largest for TIES and pruning; random
// ones, the kept divided by the density, for DARE. Other methods keep all.
std::vector<MergeTerm> pruned(MergeMethod method, std::vector<MergeTerm> terms,
                              const MergeSeed& seed);

// PEFT: the sum of weight · term. With TIES and DARE-TIES only values with the sign of the terms'
// unweighted sum count, and the sum is divided by how many those are.
at::Tensor combine_as_peft(MergeMethod method, const std::vector<MergeTerm>& terms,
                           const MergeSeed& seed);

// mergekit: the sum of weight · (term - base). With TIES and DARE-TIES only values with the sign of
// the weighted sum count. `normalize` divides by the weights that count.
at::Tensor combine_as_mergekit(const MergeRecipe& recipe, const at::Tensor& base,
                               std::vector<MergeTerm> terms, const MergeSeed& seed);

// On the arc from `first` (t = 0) to `second` (t = 1), both taken as one long vector; on the line
// between them when they have almost one direction.
at::Tensor slerp(const at::Tensor& first, const at::Tensor& second, double t);

}  // namespace gradus
