// SPDX-License-Identifier: Apache-2.0
// gradus eval: quality, cost and gates of one model.
#include <iostream>

#include "base/error.h"
#include "base/log.h"
#include "commands.h"
#include "eval/evaluate.h"
#include "hub/reference.h"
#include "recipe_command.h"
#include "store/lineage.h"

namespace gradus {
namespace {

// A folder that something else wrote is never replaced.
void check_out(const fs::path& out) {
  if (!fs::exists(out) || fs::exists(out / "results.json")) return;
  throw Error({.what = "exists and is not the result of an evaluation",
               .where = out.string(),
               .hint = "choose another out"});
}

// Whether the model's lineage can be written to. A hub's cache is shared with other programs, and
// its files are links to blobs whose names are their digests: it stays as it was fetched.
bool takes_notes(const EvalRecipe& recipe) {
  if (!recipe.record || !has_lineage(recipe.model)) return false;
  if (hub_source(fs::weakly_canonical(recipe.model)).empty()) return true;
  log_info("eval", "the results are in " + recipe.out +
                       " alone: the model is in the hub's cache, which is left as it is");
  return false;
}

void record(const EvalRecipe& recipe, const Evaluation& evaluation) {
  if (!takes_notes(recipe)) return;
  Json metrics = Json::object();
  for (const auto& [name, task] : evaluation.results["tasks"].items())
    metrics[name] = {{"rows", task["rows"]}, {"data", task["data"]}, {"metrics", task["metrics"]}};
  append_evaluation(recipe.model, {{"name", evaluation.name}, {"tasks", metrics}});
  std::vector<LineageGate> gates;
  for (const GateOutcome& gate : evaluation.gates) {
    gates.push_back({.name = evaluation.name + ": " + gate.name,
                     .metric = gate.metric,
                     .rule = gate.rule,
                     .bound = gate.bound,
                     .value = gate.value,
                     .passed = gate.passed});
  }
  if (!gates.empty()) append_gates(recipe.model, gates);
}

void throw_if_refused(const std::vector<GateOutcome>& gates) {
  std::string refused;
  for (const GateOutcome& gate : gates) {
    if (!gate.passed) refused += (refused.empty() ? "" : "; ") + gate.text;
  }
  if (!refused.empty()) throw Error({.what = refused}, kExitGateRefused);
}

int run(const CommandLine& line) {
  const auto recipe = recipe_or_answer<EvalRecipe>(line, "eval");
  if (!recipe) return kExitOk;
  check_out(recipe->out);
  if (line.has("--check")) {
    check_evaluation(*recipe);
    return answer_checked(line);
  }
  AtomicFolder out(recipe->out, AtomicFolder::Existing::kReplace);  // fails before the work
  const Evaluation evaluation = evaluate(*recipe);
  write_evaluation(out.path(), *recipe, evaluation);
  out.commit();
  record(*recipe, evaluation);
  Json result = evaluation.results;
  result["performance"] = evaluation.performance;
  result["gates"] = gates_json(evaluation.gates);
  if (!print_json_if_asked(line, result)) std::cout << evaluation_table(evaluation);
  throw_if_refused(evaluation.gates);
  return kExitOk;
}

}  // namespace

void restore_evaluation(const std::string& recipe_yaml) {
  const auto recipe = parse_recipe<EvalRecipe>(recipe_yaml, "the evaluation's recipe");
  const fs::path cost = fs::path(recipe.out) / "performance.json";
  if (!fs::exists(cost) || !takes_notes(recipe)) return;
  Evaluation evaluation{.name = evaluation_name(recipe),
                        .results = read_results(recipe.out),
                        .performance = read_json(cost),
                        .tasks = {},
                        .gates = {}};
  for (const Json& known : read_lineage(recipe.model).evaluations) {
    if (known.at("name") == evaluation.name) return;
  }
  evaluation.gates = judge_gates(recipe, evaluation.results, evaluation.performance);
  record(recipe, evaluation);
  log_info("eval", recipe.model + " was made again: its lineage has this evaluation again");
}

Command eval_command() {
  return {"eval",
          "measure a model: perplexity, choices, generation, speed; gates end with exit code 4",
          "recipe.yaml [key=value …]",
          recipe_flags,
          recipe_details<EvalRecipe>,
          run};
}

}  // namespace gradus
