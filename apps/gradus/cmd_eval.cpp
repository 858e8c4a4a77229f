// SPDX-License-Identifier: Apache-2.0
// gradus eval: quality, cost and gates of one model.
#include <ctime>
#include <iostream>

#include "base/error.h"
#include "base/log.h"
#include "commands.h"
#include "eval/evaluate.h"
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

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

void record(const EvalRecipe& recipe, const Evaluation& evaluation) {
  if (!recipe.record || !has_lineage(recipe.model)) return;
  Json metrics = Json::object();
  for (const auto& [name, task] : evaluation.results["tasks"].items())
    metrics[name] = {{"rows", task["rows"]}, {"data", task["data"]}, {"metrics", task["metrics"]}};
  append_evaluation(recipe.model,
                    {{"name", evaluation.name}, {"created", utc_now()}, {"tasks", metrics}});
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
    if (!print_json_if_asked(line, Json{{"check", "ok"}})) std::cout << "ok\n";
    return kExitOk;
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

Command eval_command() {
  return {"eval",
          "measure a model: perplexity, choices, generation, speed; gates end with exit code 4",
          "recipe.yaml [key=value …]",
          recipe_flags,
          recipe_details<EvalRecipe>,
          run};
}

}  // namespace gradus
