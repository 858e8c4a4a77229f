// SPDX-License-Identifier: Apache-2.0
// What can be wrong with gates and baselines is found before an evaluation, which may take hours.
#include <algorithm>

#include "base/error.h"
#include "eval/evaluate.h"

namespace gradus {
namespace {

TaskKind kind_of(const TaskRecipe& task) {
  return task.perplexity        ? TaskKind::kPerplexity
         : task.multiple_choice ? TaskKind::kMultipleChoice
                                : TaskKind::kGeneration;
}

std::string list_of(const std::vector<std::string>& names) {
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "" : ", ") + name;
  return all;
}

void require_name(const std::string& name, const std::vector<std::string>& names,
                  const std::string& where) {
  if (std::find(names.begin(), names.end(), name) != names.end()) return;
  const std::string near = nearest_name(name, names);
  throw Error({.what = "there is no such number",
               .where = where,
               .expected = list_of(names),
               .found = printable(name),
               .hint = near.empty() ? "" : "did you mean " + near + "?"});
}

// The numbers of performance.json; measure_speed makes all but the first and the last.
std::vector<std::string> performance_names(const EvalRecipe& recipe) {
  std::vector<std::string> names = {"load_seconds"};
  if (recipe.speed)
    names.insert(names.end(), {"prefill_tokens_per_second", "decode_tokens_per_second",
                               "prompt_tokens", "new_tokens", "repeats", "peak_memory_bytes"});
  return names;
}

const TaskRecipe& task_named(const EvalRecipe& recipe, const std::string& name,
                             const std::string& where) {
  std::vector<std::string> names = {"model", "performance"};
  for (const TaskRecipe& task : recipe.tasks) {
    if (task.name == name) return task;
    names.push_back(task.name);
  }
  const std::string near = nearest_name(name, names);
  throw Error({.what = "no task has this name",
               .where = where,
               .hint = near.empty() ? "" : "did you mean " + near + "?"});
}

void check_metric(const EvalRecipe& recipe, const GateRecipe& gate) {
  const size_t dot = gate.metric.find('.');
  const std::string owner = gate.metric.substr(0, dot), metric = gate.metric.substr(dot + 1);
  const std::string where = "gates: " + gate.metric;
  if (owner == "model") return require_name(metric, {"parameters", "weight_bytes"}, where);
  if (owner == "performance") return require_name(metric, performance_names(recipe), where);
  const TaskRecipe& task = task_named(recipe, owner, where);
  find_metric(kind_of(task), metric, where);
  if (metric == "macro_f1" && !task.shares_labels())
    throw Error({.what = "macro_f1 needs labels that all rows share",
                 .where = where,
                 .hint = "give the task labels or labels_file"});
}

void check_baseline(const GateRecipe& gate, const EarlierEvaluation& earlier) {
  const size_t dot = gate.metric.find('.');
  const auto found = earlier.tasks.find(gate.metric.substr(0, dot));
  if (found == earlier.tasks.end() || found->second.rows.empty())
    throw Error({.what = "the baseline has no samples of this task to compare with",
                 .where = "gates: " + gate.metric,
                 .found = "baseline " + gate.baseline(),
                 .hint = "evaluate the baseline with the same task and samples: true"});
  if (gate.metric.substr(dot + 1) == "macro_f1" && found->second.labels.empty())
    throw Error({.what = "the baseline's task has no labels that all rows share",
                 .where = "gates: " + gate.metric,
                 .found = "baseline " + gate.baseline()});
}

std::vector<std::string> digests_of(const EvalRows& rows) {
  std::vector<std::string> digests;
  for (const EvalRow& row : rows.rows) digests.push_back(row.digest);
  return digests;
}

}  // namespace

void check_gates(const EvalRecipe& recipe) {
  for (const GateRecipe& gate : recipe.gates) check_metric(recipe, gate);
}

void check_baselines(const EvalRecipe& recipe, const std::vector<EvalRows>& rows) {
  for (const auto& [name, folder] : recipe.baselines) {
    const EarlierEvaluation earlier = read_evaluation(folder);
    for (const GateRecipe& gate : recipe.gates) {
      if (gate.baseline() == name) check_baseline(gate, earlier);
    }
    for (size_t i = 0; i < recipe.tasks.size(); ++i) {
      const auto found = earlier.tasks.find(recipe.tasks[i].name);
      if (found == earlier.tasks.end() || found->second.rows.empty()) continue;
      require_same_kind(found->second, kind_of(recipe.tasks[i]));
      require_same_rows(found->second, digests_of(rows[i]));
    }
  }
}

}  // namespace gradus
