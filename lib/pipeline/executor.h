// SPDX-License-Identifier: Apache-2.0
// Runs the stages of a pipeline that are not up to date, in order, each as a child process.
//
// A stage is up to date when its last run had the same key (pipeline/stage_key.h) and its outputs
// still have the digests recorded then. Whether a stage runs is decided when its turn comes: when
// an upstream stage ran again and made the same content, what follows stays up to date.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/graph.h"
#include "pipeline/stage_state.h"

namespace gradus {

struct ExecutorOptions {
  fs::path program;                             // the gradus executable
  std::vector<std::string> program_flags = {};  // passed on to every stage: --quiet, …
  std::string version;                          // a part of every key
  std::vector<std::string> force = {};          // stages to run from the start
  std::string from = {};                        // this stage and what depends on it; "" for all
  std::string only = {};                        // this stage alone; "" for all
};

enum class StageStatus {
  kUpToDate,
  kRan,
  kWouldRun,
  kMayRun,  // would run if a stage before it, which would run, makes something else
  kFailed,
  kRefused,  // a gate: exit code 4
  kInterrupted,
  kChecked,        // --check: by its command
  kRecipeChecked,  // --check: the recipe only, its inputs are not there yet
  kNotReached,
  kNotSelected,
};
std::string to_string(StageStatus status);

struct StageResult {
  std::string name, command;
  StageStatus status = StageStatus::kNotReached;
  double seconds = 0;  // of the run that made the outputs
  std::string key;
  NamedDigests outputs;              // by recipe key
  std::vector<std::string> reasons;  // why it ran or would run
};

struct PipelineResult {
  std::vector<StageResult> stages;
  int exit_code = 0;
  std::string error;  // one line; "" when all is well
};

class Executor {
 public:
  // Both must outlive the executor. Nothing is written before run().
  Executor(const Pipeline& pipeline, ExecutorOptions options);

  // What run() would do, without doing it.
  PipelineResult plan();
  // Holds the lock of the pipeline's folder meanwhile. Stops at the first stage that fails, whose
  // exit code is the result's; a signal ends it with 128 + its number once the stage has stopped.
  // `before_stage` is called with the position of each stage that is about to run.
  PipelineResult run(const std::function<void(size_t position, bool resumes)>& before_stage = {});
  // Runs each stage's command with --check, where its inputs exist already.
  PipelineResult check();

 private:
  struct Judgement {
    std::optional<StageKey> key;  // nothing when an input is missing
    std::optional<DoneRecord> done;
    std::vector<std::string> reasons;  // empty: up to date
  };
  bool selected(size_t position) const;
  Judgement judge(size_t position);
  void judge_outputs(const Stage& stage, Judgement& judgement);
  void require_own_outputs() const;
  std::string missing_input(const Stage& stage) const;
  NamedDigests output_digests(const Stage& stage);
  StageResult start_result(const Stage& stage) const;
  StageResult plan_stage(size_t position, const std::vector<StageResult>& before);
  StageResult check_stage(const Stage& stage, const fs::path& scratch, PipelineResult& result);
  // Whether the pipeline can go on.
  bool run_stage(size_t position, StageResult& stage_result, PipelineResult& result,
                 const std::function<void(size_t, bool)>& before_stage);
  bool finish_stage(size_t position, int exit_code, StageResult& stage_result,
                    PipelineResult& result);
  std::vector<std::string> command_line(const Stage& stage, const fs::path& recipe) const;

  const Pipeline& pipeline_;
  ExecutorOptions options_;
  DigestCache digests_;
  std::optional<size_t> from_, only_;
  std::vector<bool> force_;
};

}  // namespace gradus
