// SPDX-License-Identifier: Apache-2.0
// The one step loop of all training. It owns optimizer, schedule, evaluation, checkpoints and
// metrics; what differs between commands comes in as an Objective and a StepSource.
//
// A run is a function of its recipe, its inputs and the number of threads: stopped at any moment
// and started again, it gives the same losses and weights, bit for bit.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/progress.h"
#include "train/checkpoint.h"
#include "train/objective.h"
#include "train/recipe.h"
#include "train/run_folder.h"
#include "train/steps.h"

namespace gradus {

// Parts that the trainer uses; all must outlive it.
struct TrainerParts {
  Transformer& model;
  const Objective& objective;
  const StepSource& steps;
  std::vector<HeldOutSet> held_out;
  const TrainingRecipe& recipe;
  const RunFolder& folder;
  Json inputs = Json::object();  // digests; a checkpoint made with others is refused
};

enum class RunEnd { kFinished, kStopped };

class Trainer {
 public:
  // Chooses the trained weights, and resumes from the newest checkpoint in the folder if there is
  // one.
  explicit Trainer(TrainerParts parts);
  ~Trainer();

  // Runs to the end, or until SIGINT or SIGTERM has been answered with a checkpoint. Afterwards a
  // finished run's model holds the result: the best evaluation's weights where the recipe asks for
  // them, else the last ones. Throws gradus::Error when a loss or gradient is not finite.
  RunEnd run();

  const RunProgress& progress() const { return progress_; }
  int64_t trained_numbers() const { return count_numbers(parameters_); }
  // Steps, tokens, losses, held-out results, speed.
  Json summary() const;
  void remove_checkpoints() const { checkpoints_.remove_all(); }

 private:
  void resume();
  bool finished() const;
  bool stopped_early() const;
  bool evaluation_due() const;
  bool checkpoint_due() const;
  void train_step();
  double backward(const PackedBatch& packed, double scale);
  void refuse_loss(const PackedBatch& packed, double loss);
  void refuse_gradient(const StepPlan& plan);
  void record_step(const StepPlan& plan, double gradient_norm, double seconds);
  bool evaluate();
  std::optional<double> evaluate_set(const HeldOutSet& set);
  void consider_best(double loss);
  void save_checkpoint();

  TrainerParts parts_;
  std::vector<TrainedParameter> parameters_;
  AdamW optimizer_;
  GradientSum gradients_;
  CheckpointStore checkpoints_;
  RunProgress progress_;
  std::unique_ptr<MetricsLog> metrics_;
  std::unique_ptr<Progress> bar_;
  FlopCounter flops_;
  double peak_flops_ = 0;
  int64_t saved_step_ = -1;  // of the newest checkpoint
  std::chrono::steady_clock::time_point saved_at_;
};

}  // namespace gradus
