// SPDX-License-Identifier: Apache-2.0
// The script that pretrain-continue, sft and distill share: data, model, step loop, result folder
// with lineage. A command says only what is its own.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "command.h"
#include "data/training_data.h"
#include "model/folder.h"
#include "recipe_command.h"
#include "store/lineage.h"
#include "train/trainer.h"

namespace gradus {

// What the run folder and the lineage keep of a recipe.
template <class R>
ResolvedText resolved_text(const R& recipe) {
  const R recorded = as_recorded(recipe);
  return {recipe_json(recorded), dump_recipe(recorded)};
}

struct ParentModel {
  std::string role;  // "base", "teacher"
  fs::path folder;
};

struct TrainingJob {
  LineageKind kind;
  const TrainingRecipe& recipe;
  ResolvedText resolved;
  // The first is the one whose tokenizer and chat template are used and copied.
  std::vector<ParentModel> parents;
  std::function<void()> check_models = [] {};  // what can be known from configurations alone
  // How many of the first parent's layers the trained model has.
  std::function<int64_t(int64_t)> kept_layers = [](int64_t layers) { return layers; };
  std::function<void(const TrainingData&)> check_data = [](const TrainingData&) {};
  std::function<Transformer(const LoadOptions&)> load_trained;
  std::function<std::unique_ptr<Objective>(const LoadOptions&)> make_objective;
};

// Runs, resumes, or reports a finished run; answers --check and --json. Returns the exit code.
int run_training(const CommandLine& line, const TrainingJob& job);

// An objective that needs nothing but the data.
std::unique_ptr<Objective> plain_objective(const LoadOptions& options);

}  // namespace gradus
