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
  std::vector<EvaluationSet> evaluation;

  // {"sources": […], "evaluation": […], "plan": {steps, tokens, ended_early}}
  Json report() const;
  // The same as aligned text.
  std::string table() const;
  // An entry per training source: files with SHA-256, licence, documents, tokens.
  Json lineage() const;
};

TrainingData load_training_data(const DataRecipe& data, const BatchRecipe& batch,
                                const TextTools& tools, uint64_t seed);

// The recipe's held-out sets alone.
std::vector<EvaluationSet> load_evaluation_sets(const DataRecipe& data, const TextTools& tools,
                                                int64_t most_batch_tokens);

}  // namespace gradus
