// SPDX-License-Identifier: Apache-2.0
// A whole evaluation: the model, its tasks, comparisons with baselines, gates, cost. docs/eval.md
// describes the files.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "eval/metrics.h"
#include "eval/recipe.h"
#include "eval/rows.h"

namespace gradus {

struct GateOutcome {
  std::string name, metric;
  std::string rule;  // "minimum", "maximum", "no_worse_than", "better_than"
  double bound = 0, value = 0;
  bool passed = false;
  std::string text;  // one line: the number, the bound and what they belong to
};

// The recipe's name for it, else that of its out folder.
std::string evaluation_name(const EvalRecipe& recipe);

struct Evaluation {
  std::string name;
  Json results;      // what depends on model, data and recipe only
  Json performance;  // times, speed, memory
  std::vector<TaskScores> tasks;
  std::vector<GateOutcome> gates;
};

// Starts with check_evaluation, so that a recipe that cannot be evaluated fails before the weights
// are read; later only the model itself can be at fault (not finite, a choice that does not fit).
Evaluation evaluate(const EvalRecipe& recipe);
// All that can be said without the weights: task data, prompts, baselines and gates are read.
// Throws gradus::Error for the first problem.
void check_evaluation(const EvalRecipe& recipe);
// Its parts: every gate's number will exist; every baseline has what gates ask of it and, where it
// has a task of the recipe, the same rows. `rows` are those of recipe.tasks, in order.
void check_gates(const EvalRecipe& recipe);
void check_baselines(const EvalRecipe& recipe, const std::vector<EvalRows>& rows);

// An earlier evaluation, from its out folder.
struct EarlierEvaluation {
  Json results;
  std::map<std::string, TaskScores> tasks;  // empty without samples.jsonl
};
EarlierEvaluation read_evaluation(const fs::path& folder);
// Its results.json alone.
Json read_results(const fs::path& folder);

// {baseline: {task: {metric: {difference, low, high, …}}}} for the tasks and metrics that both
// have.
Json compare_with_baselines(const EvalRecipe& recipe, const std::vector<TaskScores>& tasks);

// All gates in the order of the recipe.
std::vector<GateOutcome> judge_gates(const EvalRecipe& recipe, const Json& results,
                                     const Json& performance);
Json gates_json(const std::vector<GateOutcome>& gates);

// results.json, performance.json, recipe.yaml and, when asked, samples.jsonl into an existing
// folder.
void write_evaluation(const fs::path& folder, const EvalRecipe& recipe,
                      const Evaluation& evaluation);
// A table of the metrics for a terminal.
std::string evaluation_table(const Evaluation& evaluation);

}  // namespace gradus
