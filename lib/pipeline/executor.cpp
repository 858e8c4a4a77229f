// SPDX-License-Identifier: Apache-2.0
#include "pipeline/executor.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <utility>

#include "base/error.h"
#include "base/signals.h"
#include "base/temporary_folder.h"
#include "pipeline/process.h"

namespace gradus {
namespace {

bool exists(const std::string& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

StageStatus status_of(int exit_code) {
  switch (exit_code) {
    case kExitOk:
      return StageStatus::kRan;
    case kExitGateRefused:
      return StageStatus::kRefused;
    case kExitInterrupted:
    case kExitTerminated:
      return StageStatus::kInterrupted;
    default:
      return StageStatus::kFailed;
  }
}

std::string failure_text(const Stage& stage, int exit_code) {
  const std::string name = "stage '" + stage.name + "' (" + stage.command.name + ")";
  switch (status_of(exit_code)) {
    case StageStatus::kRefused:
      return name + ": a gate refused its result";
    case StageStatus::kInterrupted:
      return name + ": interrupted; run again to go on";
    default:
      break;
  }
  if (exit_code == 128 + SIGKILL)
    return name + ": was killed (signal 9); hint: was there enough memory?";
  if (exit_code > 128) return cat(name, ": crashed (signal ", exit_code - 128, ")");
  return cat(name, ": failed with exit code ", exit_code, "; its error is above");
}

// The pipeline's exit code for a stage's: those of ExitCode are kept.
int pipeline_exit_code(int stage_code) {
  switch (stage_code) {
    case kExitGateRefused:
    case kExitInternal:
    case kExitInterrupted:
    case kExitTerminated:
      return stage_code;
    default:
      return kExitUserError;
  }
}

// The stage's recipe with outputs that do not exist yet: a run removes the old ones first, so they
// must not fail a check.
Json with_outputs_in(const Stage& stage, const fs::path& folder) {
  Json values = stage.recipe.values;
  for (const PathField& output : stage.outputs) {
    std::string pointer = "/" + output.key;
    std::replace(pointer.begin(), pointer.end(), '.', '/');
    const fs::path name = fs::path(output.path).lexically_normal().filename();
    values[Json::json_pointer(pointer)] = (folder / output.key / name).string();
  }
  return values;
}

std::vector<std::string> split_words(const std::string& text) {
  std::vector<std::string> words;
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find(' ', start), text.size());
    if (end > start) words.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return words;
}

}  // namespace

std::string to_string(StageStatus status) {
  switch (status) {
    case StageStatus::kUpToDate:
      return "up to date";
    case StageStatus::kRan:
      return "ran";
    case StageStatus::kWouldRun:
      return "would run";
    case StageStatus::kMayRun:
      return "may run";
    case StageStatus::kFailed:
      return "failed";
    case StageStatus::kRefused:
      return "gate refused";
    case StageStatus::kInterrupted:
      return "interrupted";
    case StageStatus::kChecked:
      return "ok";
    case StageStatus::kRecipeChecked:
      return "recipe ok";
    case StageStatus::kNotReached:
      return "not reached";
    case StageStatus::kNotSelected:
      return "not selected";
  }
  throw std::logic_error("StageStatus without a name");
}

Executor::Executor(const Pipeline& pipeline, ExecutorOptions options)
    : pipeline_(pipeline),
      options_(std::move(options)),
      digests_(pipeline.out / "stages" / "digests.json"),
      force_(pipeline.stages.size()) {
  if (!options_.from.empty() && !options_.only.empty())
    throw UsageError("--from and --only exclude each other");
  if (!options_.from.empty()) from_ = pipeline.find(options_.from);
  if (!options_.only.empty()) only_ = pipeline.find(options_.only);
  for (const std::string& name : options_.force) force_[pipeline.find(name)] = true;
}

bool Executor::selected(size_t position) const {
  if (only_) return position == *only_;
  return !from_ || position == *from_ || pipeline_.depends(position, *from_);
}

std::string Executor::missing_input(const Stage& stage) const {
  for (const PathField& input : stage.inputs) {
    if (!is_remote(input.path) && !exists(input.path))
      return cat("input ", input.key, ": ", input.path, " does not exist yet");
  }
  for (const size_t need : stage.needs_by_name) {
    for (const PathField& output : pipeline_.stages[need].outputs) {
      if (!exists(output.path))
        return cat("stage '", pipeline_.stages[need].name, "', which it needs, has no output yet");
    }
  }
  return "";
}

NamedDigests Executor::output_digests(const Stage& stage) {
  NamedDigests digests;
  for (const PathField& output : stage.outputs) {
    if (exists(output.path)) digests[output.key] = digests_.path(output.path);
  }
  return digests;
}

void Executor::judge_outputs(const Stage& stage, Judgement& judgement) {
  const NamedDigests now = output_digests(stage);
  for (const PathField& output : stage.outputs) {
    const auto found = now.find(output.key);
    const auto recorded = judgement.done->outputs.find(output.key);
    if (found == now.end()) {
      judgement.reasons.push_back("output " + output.key + ": " + output.path + " is missing");
    } else if (recorded == judgement.done->outputs.end() || recorded->second != found->second) {
      judgement.reasons.push_back("output " + output.key + ": " + output.path +
                                  " was changed since");
    }
  }
}

Executor::Judgement Executor::judge(size_t position) {
  const Stage& stage = pipeline_.stages[position];
  const StageState state(pipeline_.out, stage);
  Judgement judgement{.key = {}, .done = state.done(), .reasons = {}};
  if (force_[position]) judgement.reasons.push_back("forced");
  if (const std::string missing = missing_input(stage); !missing.empty()) {
    judgement.reasons.push_back(missing);
    return judgement;
  }
  NamedDigests needs;
  for (const size_t need : stage.needs_by_name) {
    const Stage& other = pipeline_.stages[need];
    std::string all;
    for (const auto& [key, digest] : output_digests(other)) all += digest;
    needs[other.name] = all;
  }
  judgement.key = stage_key(stage, needs, options_.version, digests_);
  if (!judgement.done) {
    const bool unfinished = state.started_key() == judgement.key->digest;
    judgement.reasons.push_back(unfinished ? "its last run did not finish" : "it has not run yet");
  } else if (judgement.done->key != judgement.key->digest) {
    for (std::string& line : key_differences(judgement.done->parts, judgement.key->parts))
      judgement.reasons.push_back(std::move(line));
  } else {
    judge_outputs(stage, judgement);
  }
  return judgement;
}

StageResult Executor::start_result(const Stage& stage) const {
  return {.name = stage.name,
          .command = stage.command.name,
          .status = StageStatus::kNotReached,
          .key = {},
          .outputs = {},
          .reasons = {}};
}

StageResult Executor::plan_stage(size_t position, const std::vector<StageResult>& before) {
  const Stage& stage = pipeline_.stages[position];
  StageResult result = start_result(stage);
  if (!selected(position)) {
    result.status = StageStatus::kNotSelected;
    return result;
  }
  Judgement judgement = judge(position);
  result.reasons = std::move(judgement.reasons);
  result.status = result.reasons.empty() ? StageStatus::kUpToDate : StageStatus::kWouldRun;
  if (judgement.key) result.key = judgement.key->digest;
  if (result.status == StageStatus::kWouldRun) return result;
  result.seconds = judgement.done->seconds;
  result.outputs = judgement.done->outputs;
  for (const size_t need : stage.needs) {
    const StageStatus status = before[need].status;
    if (status != StageStatus::kWouldRun && status != StageStatus::kMayRun) continue;
    result.status = StageStatus::kMayRun;
    result.reasons.push_back("if stage '" + before[need].name + "' makes something else");
  }
  return result;
}

PipelineResult Executor::plan() {
  PipelineResult result;
  for (size_t i = 0; i < pipeline_.stages.size(); ++i)
    result.stages.push_back(plan_stage(i, result.stages));
  return result;
}

std::vector<std::string> Executor::command_line(const Stage& stage, const fs::path& recipe) const {
  std::vector<std::string> words = {options_.program.string()};
  for (std::string& word : split_words(stage.command.name)) words.push_back(std::move(word));
  if (stage.command.arguments) {
    for (std::string& word : stage.command.arguments(stage.recipe))
      words.push_back(std::move(word));
  } else {
    words.push_back(recipe.string());
  }
  words.insert(words.end(), options_.program_flags.begin(), options_.program_flags.end());
  return words;
}

bool Executor::finish_stage(size_t position, int exit_code, StageResult& stage_result,
                            PipelineResult& result) {
  const Stage& stage = pipeline_.stages[position];
  stage_result.status = status_of(exit_code);
  if (exit_code != kExitOk) {
    result.exit_code = pipeline_exit_code(exit_code);
    result.error = failure_text(stage, exit_code);
    return false;
  }
  stage_result.outputs = output_digests(stage);
  for (const PathField& output : stage.outputs) {
    if (stage_result.outputs.contains(output.key)) continue;
    stage_result.status = StageStatus::kFailed;
    result.exit_code = kExitInternal;
    result.error = cat("stage '", stage.name, "' (", stage.command.name,
                       ") ended well but wrote no ", output.key, ": ", output.path);
    return false;
  }
  return true;
}

bool Executor::run_stage(size_t position, StageResult& stage_result, PipelineResult& result,
                         const std::function<void(size_t, bool)>& before_stage) {
  const Stage& stage = pipeline_.stages[position];
  Judgement judgement = judge(position);
  if (judgement.reasons.empty()) {
    if (stage.command.restore) stage.command.restore(stage.recipe);
    stage_result.status = StageStatus::kUpToDate;
    stage_result.key = judgement.key->digest;
    stage_result.seconds = judgement.done->seconds;
    stage_result.outputs = judgement.done->outputs;
    return true;
  }
  stage_result.reasons = judgement.reasons;
  if (!judgement.key) {
    stage_result.status = StageStatus::kFailed;
    result.exit_code = kExitUserError;
    result.error = cat("stage '", stage.name, "': ", judgement.reasons.back(),
                       "; hint: run the stages before it too");
    return false;
  }
  stage_result.key = judgement.key->digest;
  const StageState state(pipeline_.out, stage);
  const auto keep = force_[position] ? StageState::Keep::kNothing : StageState::Keep::kUnfinished;
  const bool resumes = state.prepare(*judgement.key, keep);
  if (before_stage) before_stage(position, resumes);
  const auto start = std::chrono::steady_clock::now();
  const ChildEnd end = run_child(command_line(stage, state.recipe_path()),
                                 [&](int pid) { state.note_process(pid); });
  stage_result.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (!finish_stage(position, end.exit_code, stage_result, result)) return false;
  state.finish(*judgement.key, stage_result.outputs, stage_result.seconds);
  return true;
}

// Before any stage runs: hours may lie between the first and the one that would be refused.
void Executor::require_own_outputs() const {
  std::string problems;
  for (size_t i = 0; i < pipeline_.stages.size(); ++i) {
    if (!selected(i)) continue;
    try {
      StageState(pipeline_.out, pipeline_.stages[i]).require_own_outputs();
    } catch (const Error& error) {
      problems += (problems.empty() ? "" : "\n") + std::string(error.what());
    }
  }
  if (!problems.empty()) throw Error(problems);
}

PipelineResult Executor::run(const std::function<void(size_t, bool)>& before_stage) {
  fs::create_directories(pipeline_.out);
  const FolderLock lock(pipeline_.out);
  PipelineResult result;
  for (const Stage& stage : pipeline_.stages) result.stages.push_back(start_result(stage));
  require_own_outputs();
  for (size_t i = 0; i < pipeline_.stages.size(); ++i) {
    StageResult& stage_result = result.stages[i];
    if (!selected(i)) {
      stage_result.status = StageStatus::kNotSelected;
      continue;
    }
    if (!run_stage(i, stage_result, result, before_stage)) break;
    digests_.save();
    if (stop_signal() != 0 && i + 1 < pipeline_.stages.size()) {
      result.exit_code = 128 + stop_signal();
      result.error = cat("interrupted after stage '", stage_result.name, "'; run again to go on");
      break;
    }
  }
  digests_.save();
  return result;
}

StageResult Executor::check_stage(const Stage& stage, const fs::path& scratch,
                                  PipelineResult& result) {
  StageResult stage_result = start_result(stage);
  // Its recipe has been read by its struct; only what depends on the inputs is open.
  stage_result.status = StageStatus::kRecipeChecked;
  const std::string missing = missing_input(stage);
  if (!missing.empty()) stage_result.reasons.push_back(missing);
  if (!missing.empty() || stage.command.arguments) return stage_result;
  const fs::path recipe = scratch / (stage.name + ".yaml");
  write_file_atomic(recipe, yaml_text(with_outputs_in(stage, scratch / (stage.name + "-outputs"))));
  std::vector<std::string> words = command_line(stage, recipe);
  words.push_back("--check");
  const int code = run_child(words).exit_code;
  stage_result.status = code == kExitOk ? StageStatus::kChecked : status_of(code);
  if (code == kExitOk) return stage_result;
  result.exit_code = pipeline_exit_code(code);
  result.error += (result.error.empty() ? "" : "\n") + failure_text(stage, code);
  return stage_result;
}

PipelineResult Executor::check() {
  require_own_outputs();
  const TemporaryFolder scratch;  // a check leaves nothing behind
  PipelineResult result;
  for (size_t i = 0; i < pipeline_.stages.size() && stop_signal() == 0; ++i)
    result.stages.push_back(check_stage(pipeline_.stages[i], scratch.path(), result));
  if (stop_signal() != 0) {
    result.exit_code = 128 + stop_signal();
    result.error = "interrupted; nothing was run";
  }
  return result;
}

}  // namespace gradus
