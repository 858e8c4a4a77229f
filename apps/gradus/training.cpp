// SPDX-License-Identifier: Apache-2.0
#include "training.h"

#include <iostream>

#include "base/error.h"
#include "base/log.h"
#include "base/signals.h"
#include "data/text_tools.h"
#include "hub/hub.h"
#include "hub/reference.h"
#include "model/adapter.h"
#include "model/quantization_config.h"
#include "recipe_command.h"
#include "tensor/device.h"

namespace gradus {
namespace {

void check_against_config(const TrainingJob& job) {
  const fs::path& folder = job.parents.front().folder;
  ModelConfig config = read_model_config(folder);
  config.num_hidden_layers = job.kept_layers(config.num_hidden_layers);
  check_trained_parts(job.recipe, config);
  if (job.recipe.data.context_length > config.max_position_embeddings)
    throw Error({.what = "is longer than the model's positions",
                 .where = "data.context_length",
                 .expected = cat("at most ", config.max_position_embeddings, " (",
                                 (folder / "config.json").string(), ")"),
                 .found = std::to_string(job.recipe.data.context_length)});
}

void check_trainable(const TrainingJob& job) {
  const fs::path config = job.parents.front().folder / "config.json";
  if (read_quantization_config(read_json(config), config.string()))
    throw Error({.what = "a quantised model cannot be trained",
                 .where = job.parents.front().folder.string(),
                 .hint = "use the model that it was quantised from"});
}

TextTools fitting_text_tools(const fs::path& model_folder) {
  TextTools tools = load_text_tools(model_folder);
  check_tokenizer_fits(*tools.tokenizer, read_model_config(model_folder).vocab_size,
                       model_folder.string());
  return tools;
}

// Known before the data are read; what is loaded is checked again where it is used.
void check_job(const TrainingJob& job) {
  check_against_config(job);
  check_trainable(job);
  job.check_models();
  select_device(job.recipe.device);
  RunFolder::check(job.recipe.output, job.resolved);
}

TrainingData open_data(const TrainingJob& job) {
  const TextTools tools = fitting_text_tools(job.parents.front().folder);
  TrainingData data = load_training_data(job.recipe.data, job.recipe.batch, tools,
                                         static_cast<uint64_t>(job.recipe.seed));
  job.check_data(data);
  return data;
}

void write_data_report(const TrainingData& data, const RunFolder& folder) {
  write_json(folder.path() / "data_report.json", data.report());
  log_info("data", "\n" + data.table());
}

// What a resumed run must still find unchanged.
Json input_digests(const TrainingJob& job, const TrainingData& data) {
  DigestCache digests;
  Json inputs = Json::object();
  for (const ParentModel& parent : job.parents) inputs[parent.role] = digests.folder(parent.folder);
  for (const SourceReport& report : data.reports()) {
    for (const SourceFile& file : report.files)
      inputs[report.name + ": " + file.path] = file.sha256;
  }
  return inputs;
}

LineageData lineage_data(const SourceReport& report) {
  LineageData data{.name = report.name,
                   .files = {},
                   .documents = report.kept_documents,
                   .tokens = report.planned_tokens,
                   .licence = report.licence,
                   .share = report.planned_share};
  for (const SourceFile& file : report.files)
    data.files.push_back({recorded_path(file.path), file.sha256, file.bytes});
  return data;
}

// The training summary without what differs between two runs of the same recipe.
Json lasting_part(Json summary) {
  for (const char* key : {"seconds", "tokens_per_second", "mfu", "peak_tflops"}) summary.erase(key);
  return summary;
}

void write_lineage_into(const fs::path& folder, const TrainingJob& job, const TrainingData& data,
                        const Json& summary) {
  DigestCache digests;
  LineageBuilder lineage(job.kind, digests);
  for (const ParentModel& parent : job.parents) lineage.parent(parent.role, parent.folder);
  for (const SourceReport& report : data.plan.reports()) lineage.data(lineage_data(report));
  lineage.recipe(job.resolved.values).training(lasting_part(summary)).write(folder);
}

// PEFT finds a base on a hub by its name and commit.
void name_base(LoraConfig& config, const fs::path& base) {
  config.base_model = base.string();
  const std::string source = hub_source(base);
  if (source.empty() || !parse_hub_reference(source).path.empty()) return;
  config.base_model = parse_hub_reference(source).repository;
  config.revision = parse_hub_reference(source).revision;
}

void save_result(const TrainingJob& job, const TrainingData& data, const RunFolder& folder,
                 Transformer& model, const Json& summary) {
  const fs::path& base = job.parents.front().folder;
  const LoraRecipe lora = job.recipe.lora_or_default();
  const bool adapted = job.recipe.method == TrainMethod::kLora;
  if (adapted) {
    AtomicFolder out(folder.adapter(), AtomicFolder::Existing::kReplace);
    LoraConfig config = lora_config(lora);
    name_base(config, base);
    save_adapter(out.path(), model, config);
    write_lineage_into(out.path(), job, data, summary);
    out.commit();
    merge_lora(model);
  }
  if (adapted && !lora.merge) return;
  AtomicFolder out(folder.model(), AtomicFolder::Existing::kReplace);
  save_model(out.path(), model);
  copy_text_files(base, out.path());
  write_lineage_into(out.path(), job, data, summary);
  out.commit();
}

void print_summary(const CommandLine& line, const Json& summary) {
  if (print_json_if_asked(line, summary)) return;
  for (const auto& [key, value] : summary.items()) {
    if (key == "evaluations" || key == "inputs") continue;
    std::string name = key;
    name.resize(20, ' ');
    std::cout << name << (value.is_string() ? value.get<std::string>() : value.dump()) << "\n";
  }
  for (const Json& record : summary.value("evaluations", Json::array()))
    std::cout << "step " << record["step"] << ": " << record["set"].get<std::string>() << " loss "
              << record["loss"] << ", perplexity " << record["perplexity"] << "\n";
}

std::vector<HeldOutSet> held_out_sets(const TrainingData& data) {
  std::vector<HeldOutSet> sets;
  for (const EvaluationSet& set : data.evaluation) sets.push_back(held_out(set));
  return sets;
}

int train(const CommandLine& line, const TrainingJob& job, const RunFolder& folder) {
  const TrainingData data = open_data(job);
  write_data_report(data, folder);
  const LoadOptions options{
      .dtype = job.recipe.dtype == TrainDtype::kBFloat16 ? at::kBFloat16 : at::kFloat,
      .device = select_device(job.recipe.device)};
  Transformer model = job.load_trained(options);
  const std::unique_ptr<Objective> objective = job.make_objective(options);
  const PlannedSteps steps(data.plan);
  const Json inputs = input_digests(job, data);
  Trainer trainer({.model = model,
                   .objective = *objective,
                   .steps = steps,
                   .held_out = held_out_sets(data),
                   .recipe = job.recipe,
                   .folder = folder,
                   .inputs = inputs});
  if (trainer.run() == RunEnd::kStopped) {
    log_info("train", cat("stopped after step ", trainer.progress().step,
                          "; run the same command again to go on"));
    return 128 + stop_signal();
  }
  Json summary = trainer.summary();
  save_result(job, data, folder, model, summary);
  summary["output"] = folder.path().string();
  summary["inputs"] = inputs;
  folder.finish(summary);
  if (!job.recipe.checkpoint.keep_finished) trainer.remove_checkpoints();
  print_summary(line, summary);
  return kExitOk;
}

int report_finished(const CommandLine& line, const TrainingJob& job, const Json& summary) {
  const std::string folder = job.recipe.output;
  const auto differences =
      differing_keys(summary.value("inputs", Json::object()), input_digests(job, open_data(job)));
  if (!differences.empty())
    throw Error({.what = "what the finished run has read is not the same now: " + differences[0],
                 .where = folder,
                 .hint = "choose another output, or remove this folder to train again"});
  log_info("train", folder + " is a finished run of this recipe");
  print_summary(line, summary);
  return kExitOk;
}

}  // namespace

int run_training(const CommandLine& line, const TrainingJob& job) {
  check_job(job);
  if (line.has("--check")) {
    fitting_text_tools(job.parents.front().folder);
    return answer_checked(line);
  }
  const RunFolder folder(job.recipe.output, job.resolved);
  if (const auto summary = folder.summary()) return report_finished(line, job, *summary);
  set_compute_threads(static_cast<int>(job.recipe.threads));
  return train(line, job, folder);
}

std::unique_ptr<Objective> plain_objective(const LoadOptions&) {
  return std::make_unique<CrossEntropyObjective>();
}

}  // namespace gradus
