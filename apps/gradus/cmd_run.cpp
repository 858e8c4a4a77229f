// SPDX-License-Identifier: Apache-2.0
// gradus run: a pipeline recipe, stage by stage.
#include <algorithm>
#include <iomanip>
#include <iostream>

#include "base/error.h"
#include "base/log.h"
#include "base/system.h"
#include "commands.h"
#include "pipeline/executor.h"
#include "stages.h"

namespace gradus {
namespace {

std::vector<std::string> split_list(const std::string& text) {
  std::vector<std::string> names;
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find(',', start), text.size());
    names.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return names;
}

ExecutorOptions executor_options(const CommandLine& line) {
  ExecutorOptions options{.program = fs::read_symlink("/proc/self/exe"),
                          .version = program_version(),
                          .force = split_list(line.get("--force")),
                          .from = line.get("--from"),
                          .only = line.get("--only")};
  for (const char* flag : {"--quiet", "--verbose"}) {
    if (line.has(flag)) options.program_flags.push_back(flag);
  }
  if (line.has("--log-format"))
    options.program_flags.insert(options.program_flags.end(),
                                 {"--log-format", line.get("--log-format")});
  return options;
}

// Text that stands for itself where ${name} would be replaced.
Json escaped(Json value) {
  if (value.is_string()) {
    std::string text = value.get<std::string>();
    for (size_t at = 0; (at = text.find("${", at)) != std::string::npos; at += 3)
      text.insert(at, 1, '$');
    return text;
  }
  if (value.is_structured()) {
    for (Json& member : value) member = escaped(std::move(member));
  }
  return value;
}

// A pipeline recipe without variables or files, every stage complete.
Json resolved_pipeline(const Pipeline& pipeline) {
  Json stages = Json::array();
  for (const Stage& stage : pipeline.stages) {
    Json needs = Json::array();
    for (const size_t need : stage.needs_by_name) needs.push_back(pipeline.stages[need].name);
    stages.push_back({{"name", stage.name},
                      {"command", stage.command.name},
                      {"needs", needs},
                      {"recipe", escaped(stage.recipe.values)}});
  }
  return {{"out", pipeline.out.string()}, {"stages", stages}};
}

Json result_json(const Pipeline& pipeline, const PipelineResult& result) {
  Json stages = Json::array();
  for (const StageResult& stage : result.stages) {
    stages.push_back({{"name", stage.name},
                      {"command", stage.command},
                      {"status", to_string(stage.status)},
                      {"seconds", stage.seconds},
                      {"key", stage.key.empty() ? Json(nullptr) : Json(stage.key)},
                      {"outputs", stage.outputs},
                      {"reasons", stage.reasons}});
  }
  return {{"out", pipeline.out.string()},
          {"exit_code", result.exit_code},
          {"error", result.error.empty() ? Json(nullptr) : Json(result.error)},
          {"stages", stages}};
}

std::string output_text(const StageResult& stage) {
  if (stage.outputs.empty()) return "-";
  const std::string first = stage.outputs.begin()->second.substr(0, 12);
  return stage.outputs.size() == 1 ? first : cat(first, " +", stage.outputs.size() - 1);
}

std::string seconds_text(const StageResult& stage) {
  if (stage.seconds == 0) return "-";
  std::ostringstream text;
  text << std::fixed << std::setprecision(1) << stage.seconds;
  return text.str();
}

enum class Reasons { kHide, kShow };

void print_table(const PipelineResult& result, Reasons reasons) {
  size_t width = 5;
  for (const StageResult& stage : result.stages) width = std::max(width, stage.name.size());
  const auto row = [&](const std::string& name, const std::string& status,
                       const std::string& seconds, const std::string& output) {
    std::cout << std::left << std::setw(static_cast<int>(width) + 2) << name << std::setw(14)
              << status << std::right << std::setw(9) << seconds << "  " << output << "\n";
  };
  row("stage", "status", "seconds", "output");
  for (const StageResult& stage : result.stages) {
    row(stage.name, to_string(stage.status), seconds_text(stage), output_text(stage));
    if (reasons == Reasons::kHide) continue;
    for (const std::string& reason : stage.reasons) std::cout << "    " << reason << "\n";
  }
}

PipelineResult execute(const CommandLine& line, const Pipeline& pipeline) {
  Executor executor(pipeline, executor_options(line));
  if (line.has("--check")) return executor.check();
  if (line.has("--dry-run")) return executor.plan();
  return executor.run([&](size_t position, bool resumes) {
    const Stage& stage = pipeline.stages[position];
    log_info("run", cat("stage ", position + 1, "/", pipeline.stages.size(), " '", stage.name,
                        "': ", stage.command.name, resumes ? " (resuming)" : ""));
  });
}

int run(const CommandLine& line) {
  if (line.has("--schema")) {
    std::cout << recipe_schema<PipelineRecipe>("gradus run").dump(2) << "\n";
    return kExitOk;
  }
  if (line.has("--check") && line.has("--dry-run"))
    throw UsageError("--check and --dry-run exclude each other");
  const Pipeline pipeline = build_pipeline(
      load_pipeline_recipe(line.only("pipeline.yaml"), line.overrides()), stage_commands());
  if (line.has("--print-config")) {
    std::cout << yaml_text(resolved_pipeline(pipeline));
    return kExitOk;
  }
  const PipelineResult result = execute(line, pipeline);
  if (!print_json_if_asked(line, result_json(pipeline, result)))
    print_table(result, line.has("--why") ? Reasons::kShow : Reasons::kHide);
  std::cout.flush();
  if (result.exit_code != kExitOk)
    throw Error({.what = result.error}, static_cast<ExitCode>(result.exit_code));
  return kExitOk;
}

std::vector<Flag> run_flags() {
  std::vector<Flag> flags = {
      {"--dry-run", "", "say which stages are up to date and which would run"},
      {"--why", "", "say for each stage what changed"},
      {"--from", "STAGE", "only this stage and those that depend on it"},
      {"--only", "STAGE", "only this stage"},
      {"--force", "STAGE[,STAGE]", "run these stages from the start, up to date or not"}};
  for (Flag& flag : recipe_flags()) flags.push_back(std::move(flag));
  return flags;
}

std::string run_details() {
  std::string commands;
  for (const StageCommand& command : stage_commands())
    commands += (commands.empty() ? "" : ", ") + command.name;
  return "Stages can be: " + commands +
         "\n\nPipeline recipe (stages.<name>.recipe.<key>=value overrides a stage's key):\n" +
         recipe_help<PipelineRecipe>();
}

}  // namespace

Command run_command() {
  return {"run",
          "run a pipeline of stages, each only if something it depends on changed",
          "pipeline.yaml [key=value …]",
          run_flags,
          run_details,
          run};
}

}  // namespace gradus
