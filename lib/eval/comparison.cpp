// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "base/error.h"
#include "eval/evaluate.h"

namespace gradus {
namespace {

constexpr const char* kFormat = "gradus-eval/1";

Json difference_json(const PairedDifference& paired, const MetricDefinition& metric) {
  Json json = {{"value", paired.value},           {"baseline", paired.baseline},
               {"difference", paired.difference}, {"low", paired.interval.low},
               {"high", paired.interval.high},    {"higher_is_better", metric.higher_is_better}};
  if (std::isfinite(paired.p_value)) json["mcnemar_p"] = paired.p_value;
  return json;
}

Json compare_task(const TaskScores& task, const TaskScores& baseline,
                  const BootstrapOptions& options) {
  require_same_kind(baseline, task.kind);
  Json metrics = Json::object();
  for (const MetricDefinition& metric : metrics_of(task)) {
    if (std::string(metric.name) == "macro_f1" && baseline.labels.empty()) continue;
    metrics[metric.name] = difference_json(compare_metric(task, baseline, metric, options), metric);
  }
  return metrics;
}

}  // namespace

Json read_results(const fs::path& folder) {
  const fs::path file = folder / "results.json";
  if (!fs::exists(file))
    throw Error({.what = "is not the out folder of an evaluation",
                 .where = folder.string(),
                 .expected = "a folder with results.json"});
  Json results = read_json(file);
  const std::string format = json_get<std::string>(results, "format", file.string());
  if (format != kFormat)
    throw Error({.what = "has another format",
                 .where = file.string(),
                 .expected = kFormat,
                 .found = printable(format)});
  const Json tasks = json_get<Json>(results, "tasks", file.string());
  if (!tasks.is_object()) json_wrong_type(tasks, "tasks", "an object", file.string());
  return results;
}

EarlierEvaluation read_evaluation(const fs::path& folder) {
  EarlierEvaluation earlier{read_results(folder), {}};
  if (fs::exists(folder / "samples.jsonl"))
    earlier.tasks = read_samples(folder / "samples.jsonl", earlier.results);
  return earlier;
}

Json compare_with_baselines(const EvalRecipe& recipe, const std::vector<TaskScores>& tasks) {
  const BootstrapOptions options{.seed = static_cast<uint64_t>(recipe.seed),
                                 .confidence = recipe.confidence};
  Json comparisons = Json::object();
  for (const auto& [name, folder] : recipe.baselines) {
    const EarlierEvaluation earlier = read_evaluation(folder);
    Json& entry = comparisons[name];
    entry = {{"model", json_get<Json>(earlier.results, "model", folder).value("digest", "")},
             {"tasks", Json::object()}};
    for (const TaskScores& task : tasks) {
      const auto found = earlier.tasks.find(task.name);
      if (found != earlier.tasks.end() && !found->second.rows.empty())
        entry["tasks"][task.name] = compare_task(task, found->second, options);
    }
  }
  return comparisons;
}

}  // namespace gradus
