// SPDX-License-Identifier: Apache-2.0
#include <iomanip>

#include "base/error.h"
#include "base/system.h"
#include "eval/evaluate.h"
#include "hub/hub.h"

namespace gradus {
namespace {

bool is_performance(const GateOutcome& gate) { return gate.metric.rfind("performance.", 0) == 0; }

std::vector<GateOutcome> gates_where(const std::vector<GateOutcome>& gates, bool performance) {
  std::vector<GateOutcome> chosen;
  for (const GateOutcome& gate : gates) {
    if (is_performance(gate) == performance) chosen.push_back(gate);
  }
  return chosen;
}

void write_samples(const fs::path& file, const std::vector<TaskScores>& tasks) {
  AtomicFile out(file);
  for (const TaskScores& task : tasks) {
    for (const RowScores& row : task.rows)
      out.write(sample_json(task, row).dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  }
  out.commit();
}

std::string padded(std::string text, size_t width) {
  text.resize(std::max(width, text.size() + 1), ' ');
  return text;
}

std::string number_text(double value) {
  std::ostringstream text;
  text << std::setprecision(4) << value;
  return text.str();
}

}  // namespace

void write_evaluation(const fs::path& folder, const EvalRecipe& recipe,
                      const Evaluation& evaluation) {
  // Gates on speed judge what differs from run to run: they stay out of results.json.
  Json results = evaluation.results, performance = evaluation.performance;
  results["gates"] = gates_json(gates_where(evaluation.gates, false));
  performance["gates"] = gates_json(gates_where(evaluation.gates, true));
  write_json(folder / "results.json", results);
  write_json(folder / "performance.json", performance);
  EvalRecipe recorded = recipe;
  change_paths(recorded, [](const PathField& field) { return recorded_path(field.path); });
  write_file_atomic(folder / "recipe.yaml", dump_recipe(recorded));
  if (recipe.samples) write_samples(folder / "samples.jsonl", evaluation.tasks);
}

std::string evaluation_table(const Evaluation& evaluation) {
  std::string text;
  for (const auto& [name, task] : evaluation.results["tasks"].items()) {
    text += cat(name, " (", task["kind"].get<std::string>(), ", ", task["rows"], " rows");
    if (task["clusters"] != task["rows"]) text += cat(" in ", task["clusters"], " clusters");
    text += ")\n";
    for (const auto& [metric, value] : task["metrics"].items())
      text += "  " + padded(metric, 18) + padded(number_text(value["value"]), 10) + "[" +
              number_text(value["low"]) + ", " + number_text(value["high"]) + "]\n";
    if (task.contains("majority"))
      text += cat("  majority label    ", number_text(task["majority"]["acc"]), "\n");
  }
  const Json& cost = evaluation.performance;
  text += "cost\n  weights           " + human_bytes(evaluation.results["model"]["weight_bytes"]) +
          "\n";
  if (cost.contains("decode_tokens_per_second")) {
    text += "  prefill           " + number_text(cost["prefill_tokens_per_second"]) +
            " tokens/s\n  decode            " + number_text(cost["decode_tokens_per_second"]) +
            " tokens/s\n  peak memory       " + human_bytes(cost["peak_memory_bytes"]) + "\n";
  }
  for (const GateOutcome& gate : evaluation.gates) text += gate.text + "\n";
  return text;
}

}  // namespace gradus
