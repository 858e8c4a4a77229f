// SPDX-License-Identifier: Apache-2.0
#include "eval/evaluate.h"

#include <ATen/DeviceAccelerator.h>

#include <chrono>

#include "base/digest.h"
#include "base/error.h"
#include "base/log.h"
#include "base/system.h"
#include "data/stop_tokens.h"
#include "eval/prompts.h"
#include "eval/speed.h"
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

void check_prompts(const TaskRecipe& task, const EvalRows& rows, const TextTools& tools) {
  const PromptRecipe* prompt = task.multiple_choice ? &task.multiple_choice->prompt
                               : task.generation    ? &task.generation->prompt
                                                    : nullptr;
  if (!prompt) return;
  const PromptMaker maker(*prompt, tools);
  for (const EvalRow& row : rows.rows) {
    maker.prompt(row);
    maker.answer(row);
  }
}

// What an evaluation reads besides the weights, checked.
struct Inputs {
  TextTools tools;
  std::vector<EvalRows> rows;  // per task
  std::vector<TokenId> stop_tokens;
};

Inputs read_inputs(const EvalRecipe& recipe) {
  const ModelConfig config = read_model_config(recipe.model);
  Inputs inputs{load_text_tools(recipe.model), {}, {}};
  check_tokenizer_fits(*inputs.tools.tokenizer, config.vocab_size, recipe.model);
  check_gates(recipe);
  for (const TaskRecipe& task : recipe.tasks) {
    check_context(task, config);
    inputs.rows.push_back(read_eval_rows(task));
    check_prompts(task, inputs.rows.back(), inputs.tools);
    if (task.generation)
      inputs.stop_tokens = find_stop_tokens(recipe.model, inputs.tools, config.vocab_size);
  }
  check_baselines(recipe, inputs.rows);
  if (recipe.speed) check_speed(*recipe.speed, config);
  return inputs;
}

// Of the process, or of the tensors on a GPU.
void reset_peak_memory(c10::Device device) {
  if (device.is_cpu()) return reset_peak_resident();
  at::accelerator::resetPeakStats(device.index());
}

int64_t peak_memory_bytes(c10::Device device) {
  if (device.is_cpu()) return peak_resident_bytes();
  return at::accelerator::getDeviceStats(device.index()).allocated_bytes[0].peak;
}

struct Loaded {
  Transformer model;
  double seconds = 0;
};

Loaded load_timed(const EvalRecipe& recipe) {
  const LoadOptions options = load_options(recipe);
  reset_peak_memory(options.device);
  const auto start = Clock::now();
  Transformer model = load_model(recipe.model, options);
  return {std::move(model), seconds_since(start)};
}

Json performance_json(const EvalRecipe& recipe, const Loaded& loaded) {
  Json performance = {{"load_seconds", loaded.seconds}};
  if (recipe.speed) {
    const Json speed = measure_speed(loaded.model, *recipe.speed);
    for (const auto& [key, value] : speed.items()) performance[key] = value;
    performance["peak_memory_bytes"] = peak_memory_bytes(loaded.model.device());
  }
  performance["machine"] = {{"cpu", cpu_model()},
                            {"cores", usable_cores()},
                            {"device", loaded.model.device().is_cuda() ? "cuda" : "cpu"}};
  performance["tasks"] = Json::object();
  return performance;
}

}  // namespace

void check_evaluation(const EvalRecipe& recipe) { read_inputs(recipe); }

std::string evaluation_name(const EvalRecipe& recipe) {
  if (!recipe.name.empty()) return recipe.name;
  const fs::path out = fs::path(recipe.out).lexically_normal();
  return out.has_filename() ? out.filename().string() : out.parent_path().filename().string();
}

Evaluation evaluate(const EvalRecipe& recipe) {
  const Inputs inputs = read_inputs(recipe);
  set_compute_threads(static_cast<int>(recipe.threads));
  const Loaded loaded = load_timed(recipe);
  Evaluation evaluation{.name = evaluation_name(recipe),
                        .results = {{"format", "gradus-eval/1"}},
                        .performance = performance_json(recipe, loaded),
                        .tasks = {},
                        .gates = {}};
  Json& results = evaluation.results;
  results["model"] = model_json(recipe, loaded.model, inputs.tools);
  results["settings"] = {{"confidence", recipe.confidence}, {"seed", recipe.seed}};
  results["tasks"] = Json::object();
  for (size_t i = 0; i < recipe.tasks.size(); ++i) {
    const TaskRecipe& task = recipe.tasks[i];
    const EvalRows& rows = inputs.rows[i];
    const auto start = Clock::now();
    TaskOutput output = run_task({.model = loaded.model,
                                  .tools = inputs.tools,
                                  .recipe = task,
                                  .rows = rows.rows,
                                  .stop_tokens = inputs.stop_tokens,
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
