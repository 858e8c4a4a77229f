// SPDX-License-Identifier: Apache-2.0
// Adapters of stacked experts: transformers 5 holds the weights of all experts of a layer in one
// tensor [E, out, in], which PEFT adapts under target_parameters with A [r · E, in] and B
// [out, r · E]. Files and Gradus hold each expert's projections apart.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "model/adapter.h"

namespace gradus {

// The stacked weights of the experts module `module`, in the order in which PEFT nests them: the
// last one that is adapted is the outermost.
std::vector<std::string> stacked_parameters(const std::string& module);

struct ExpertPairs {
  std::map<std::string, LoraPair> pairs;  // by the projection of one expert
  std::vector<std::string> misfits;       // what does not fit the model, one line each
};

// One pair for each expert's projection. Throws gradus::Error when target_parameters names another
// weight of the model, such as a router.
ExpertPairs split_stacked(const Adapter& adapter, const LoraRules& rules, const Transformer& model);

}  // namespace gradus
