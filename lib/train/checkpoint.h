// SPDX-License-Identifier: Apache-2.0
// What a run resumes from. checkpoints/step-00000120/ holds
//   optimizer.safetensors  fp32 master weights and AdamW's moments, per weight as files name it
//   progress.json          RunProgress
// checkpoints/best-00000100/weights.safetensors holds the trained weights of the best evaluation so
// far. Both appear whole or not at all. The data position needs no more than the step: the plan is
// a function of the recipe.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/json.h"
#include "train/metrics.h"
#include "train/optimizer.h"

namespace gradus {

struct BestEvaluation {
  int64_t step = -1;  // -1: none yet
  double loss = 0;
  int64_t evaluations_since = 0;
};

struct RunProgress {
  int64_t step = 0;  // optimizer steps done
  int64_t tokens = 0;
  int64_t supervised_tokens = 0;
  double seconds = 0;           // spent in steps
  double flops = 0;             // of those steps
  double loss = 0;              // of the last step
  int64_t evaluated_step = -1;  // step of the last complete evaluation
  BestEvaluation best;
  Json evaluations = Json::array();  // {"step", "set", "loss", "perplexity"}
  MetricsOffsets metrics;
  Json inputs = Json::object();  // digests of what the run reads
};

Json progress_json(const RunProgress& progress);
RunProgress progress_from_json(const Json& json, const std::string& where);

class CheckpointStore {
 public:
  // Removes what a killed process left half written.
  CheckpointStore(const fs::path& folder, int64_t keep_last);

  std::optional<fs::path> latest() const;
  // Also removes older checkpoints and best weights that no kept checkpoint refers to.
  void save(const RunProgress& progress, const std::vector<AdamWState>& states) const;
  // Fills the states' tensors; each must be there with its shape.
  RunProgress load(const fs::path& checkpoint, const std::vector<AdamWState>& states) const;

  void save_best(int64_t step, const std::vector<TrainedParameter>& parameters) const;
  void load_best(int64_t step, const std::vector<TrainedParameter>& parameters) const;
  void remove_all() const { fs::remove_all(folder_); }

 private:
  void prune(const RunProgress& newest) const;
  fs::path folder_;
  int64_t keep_last_;
};

}  // namespace gradus
