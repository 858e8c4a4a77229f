// SPDX-License-Identifier: Apache-2.0
#include "eval/evaluate.h"

#include <chrono>

#include "base/digest.h"
#include "base/error.h"
#include "base/log.h"
#include "base/system.h"
#include "eval/prompts.h"
#include "eval/speed.h"
#include "eval/stop.h"
#include "eval/tasks.h"
#include "model/folder.h"
#include "tensor/device.h"

namespace gradus {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

LoadOptions load_options(const EvalRecipe& recipe) {
  LoadOptions options{.dtype = {}, .device = select_device(recipe.device)};
  if (recipe.dtype != "auto") options.dtype = dtype_from_name(recipe.dtype);
  return options;
}

int64_t weight_bytes(const fs::path& folder) {
  int64_t total = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".safetensors")
      total += static_cast<int64_t>(entry.file_size());
  }
  return total;
}

Json model_json(const EvalRecipe& recipe, const Transformer& model, const TextTools& tools) {
  DigestCache digests;
  return {{"digest", digests.folder(recipe.model)},
          {"tokenizer_digest", tools.tokenizer_digest},
          {"type", model.config().model_type},
          {"parameters", parameter_count(model.config())},
          {"weight_bytes", weight_bytes(recipe.model)},
          {"dtype", dtype_name(model.dtype())},
          {"device", model.device().is_cuda() ? "cuda" : "cpu"}};
}

BootstrapOptions bootstrap_options(const EvalRecipe& recipe) {
  return {.seed = static_cast<uint64_t>(recipe.seed), .confidence = recipe.confidence};
}

Json task_json(const EvalRecipe& recipe, const EvalRows& rows, const TaskOutput& output) {
  Json metrics = Json::object();
  for (const MetricDefinition& metric : metrics_of(output.scores))
    metrics[metric.name] =
        metric_json(evaluate_metric(output.scores, metric, bootstrap_options(recipe)), metric);
  std::vector<std::string> clusters;
  for (const RowScores& row : output.scores.rows) clusters.push_back(row.cluster);
  Json files = rows.files;
  for (Json& file : files)  // names only: the same data elsewhere gives the same results
    file["path"] = fs::path(file["path"].get<std::string>()).filename().string();
  Json task = {{"kind", to_string(output.scores.kind)},
               {"rows", rows.rows.size()},
               {"clusters", cluster_count(cluster_numbers(clusters))},
               {"metrics", metrics},
               {"data", files}};
  for (const auto& [key, value] : output.facts.items()) task[key] = value;
  if (!output.scores.labels.empty()) {
    const Json report = label_report(output.scores);
    for (const auto& [key, value] : report.items()) task[key] = value;
  }
  return task;
}

TaskOutput run_task(const TaskInput& input) {
  if (input.recipe.perplexity) return run_perplexity(input);
  if (input.recipe.multiple_choice) return run_multiple_choice(input);
  return run_generation(input);
}

void check_context(const TaskRecipe& task, const ModelConfig& config) {
  if (!task.context_length || *task.context_length <= config.max_position_embeddings) return;
  throw Error({.what = "is longer than the model's positions",
               .where = "tasks: " + task.name + ": context_length",
               .expected = cat("at most ", config.max_position_embeddings),
               .found = cat(*task.context_length)});
}

void check_tokenizer(const TextTools& tools, const ModelConfig& config, const std::string& where) {
  if (tools.tokenizer->vocab_size() > config.vocab_size)
    throw Error({.what = "the tokenizer does not fit the model",
                 .where = where,
                 .expected = cat("at most ", config.vocab_size, " tokens (vocab_size)"),
                 .found = cat(tools.tokenizer->vocab_size())});
}

// A metric that no task has is found before the work, not after it.
void check_gate_metrics(const EvalRecipe& recipe) {
  for (const GateRecipe& gate : recipe.gates) {
    const size_t dot = gate.metric.find('.');
    const std::string owner = gate.metric.substr(0, dot), metric = gate.metric.substr(dot + 1);
    if (owner == "model" || owner == "performance") continue;
    std::vector<std::string> names = {"model", "performance"};
    bool known = false;
    for (const TaskRecipe& task : recipe.tasks) {
      names.push_back(task.name);
      if (task.name != owner) continue;
      known = true;
      const TaskKind kind = task.perplexity        ? TaskKind::kPerplexity
                            : task.multiple_choice ? TaskKind::kMultipleChoice
                                                   : TaskKind::kGeneration;
      find_metric(kind, metric, "gates: " + gate.metric);
    }
    if (known) continue;
    const std::string near = nearest_name(owner, names);
    throw Error({.what = "no task has this name",
                 .where = "gates: " + gate.metric,
                 .hint = near.empty() ? "" : "did you mean " + near + "?"});
  }
}

void check_baselines(const EvalRecipe& recipe) {
  for (const auto& [name, folder] : recipe.baselines) read_evaluation(folder);
}

struct Loaded {
  Transformer model;
  double seconds = 0;
};

Loaded load_timed(const EvalRecipe& recipe) {
  const LoadOptions options = load_options(recipe);
  reset_peak_resident();
  const auto start = Clock::now();
  Transformer model = load_model(recipe.model, options);
  return {std::move(model), seconds_since(start)};
}

Json performance_json(const EvalRecipe& recipe, const Loaded& loaded) {
  Json performance = {{"load_seconds", loaded.seconds}};
  if (recipe.speed) {
    const Json speed = measure_speed(loaded.model, *recipe.speed);
    for (const auto& [key, value] : speed.items()) performance[key] = value;
    performance["peak_memory_bytes"] = peak_resident_bytes();
  }
  performance["machine"] = {{"cpu", cpu_model()},
                            {"cores", usable_cores()},
                            {"device", loaded.model.device().is_cuda() ? "cuda" : "cpu"}};
  performance["tasks"] = Json::object();
  return performance;
}

}  // namespace

void check_evaluation(const EvalRecipe& recipe) {
  const ModelConfig config = read_model_config(recipe.model);
  const TextTools tools = load_text_tools(recipe.model);
  check_tokenizer(tools, config, recipe.model);
  check_gate_metrics(recipe);
  check_baselines(recipe);
  for (const TaskRecipe& task : recipe.tasks) {
    check_context(task, config);
    const EvalRows rows = read_eval_rows(task);
    const PromptRecipe* prompt = task.multiple_choice ? &task.multiple_choice->prompt
                                 : task.generation    ? &task.generation->prompt
                                                      : nullptr;
    if (!prompt) continue;
    const PromptMaker maker(*prompt, tools);
    for (const EvalRow& row : rows.rows) {
      maker.prompt(row);
      maker.answer(row);
    }
  }
}

std::string evaluation_name(const EvalRecipe& recipe) {
  if (!recipe.name.empty()) return recipe.name;
  const fs::path out = fs::path(recipe.out).lexically_normal();
  return out.has_filename() ? out.filename().string() : out.parent_path().filename().string();
}

Evaluation evaluate(const EvalRecipe& recipe) {
  const TextTools tools = load_text_tools(recipe.model);
  check_tokenizer(tools, read_model_config(recipe.model), recipe.model);
  check_gate_metrics(recipe);
  check_baselines(recipe);
  for (const TaskRecipe& task : recipe.tasks) check_context(task, read_model_config(recipe.model));
  set_compute_threads(static_cast<int>(recipe.threads));
  const Loaded loaded = load_timed(recipe);
  Evaluation evaluation{.name = evaluation_name(recipe),
                        .results = {{"format", "gradus-eval/1"}},
                        .performance = performance_json(recipe, loaded),
                        .tasks = {},
                        .gates = {}};
  Json& results = evaluation.results;
  results["model"] = model_json(recipe, loaded.model, tools);
  results["settings"] = {{"confidence", recipe.confidence}, {"seed", recipe.seed}};
  results["tasks"] = Json::object();
  for (const TaskRecipe& task : recipe.tasks) {
    const EvalRows rows = read_eval_rows(task);
    const auto start = Clock::now();
    TaskOutput output = run_task({.model = loaded.model,
                                  .tools = tools,
                                  .recipe = task,
                                  .rows = rows.rows,
                                  .batch_tokens = recipe.batch_tokens});
    const double seconds = seconds_since(start);
    results["tasks"][task.name] = task_json(recipe, rows, output);
    evaluation.performance["tasks"][task.name] = {
        {"seconds", seconds},
        {"tokens", output.tokens},
        {"tokens_per_second", static_cast<double>(output.tokens) / seconds}};
    log_info("eval", cat(task.name, ": ", rows.rows.size(), " rows, ", output.tokens, " tokens in ",
                         static_cast<int64_t>(seconds * 10) / 10.0, " s"));
    evaluation.tasks.push_back(std::move(output.scores));
  }
  results["comparisons"] = compare_with_baselines(recipe, evaluation.tasks);
  evaluation.gates = judge_gates(recipe, results, evaluation.performance);
  return evaluation;
}

}  // namespace gradus
