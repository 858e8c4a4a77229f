// SPDX-License-Identifier: Apache-2.0
// A recipe's data, ready for a trainer.
//
//   TextTools tools = load_text_tools(recipe.model);
//   TrainingData data = load_training_data(recipe.data, recipe.batch, tools, recipe.seed);
//   for (int64_t s = resumed_at; s < data.plan.steps(); ++s) train(data.plan.step(s));
#pragma once

#include <string>
#include <vector>

#include "data/evaluation_set.h"
#include "data/plan.h"

namespace gradus {

struct TrainingData {
  TrainingPlan plan;
  std::vector<EvaluationSet> evaluation;  // held-out sets in the order of the recipe

  // Of the training sources, then of the held-out sets.
  std::vector<SourceReport> reports() const;
  // {"sources": […], "evaluation": […], "plan": {steps, tokens, ended_early}}
  Json report() const;
  // The same as aligned text.
  std::string table() const;
};

TrainingData load_training_data(const DataRecipe& data, const BatchRecipe& batch,
                                const TextTools& tools, uint64_t seed);

}  // namespace gradus
