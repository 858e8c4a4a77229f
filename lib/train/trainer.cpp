// SPDX-License-Identifier: Apache-2.0
#include "train/trainer.h"

#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <cstdio>

#include "base/error.h"
#include "base/log.h"
#include "base/signals.h"
#include "train/diagnose.h"
#include "train/schedule.h"

namespace gradus {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double trained_share(const Transformer& model, const std::vector<TrainedParameter>& parameters) {
  int64_t matrices = 0;
  for (const TrainedParameter& parameter : parameters) {
    const bool look_up =
        parameter.leaf.is_same(model.embedding) && !model.config().tie_word_embeddings;
    if (parameter.leaf.squeeze().dim() > 1 && !look_up) matrices += parameter.leaf.numel();
  }
  return static_cast<double>(matrices) /
         static_cast<double>(matmul_parameter_count(model.config()));
}

std::string rounded(double value, const char* format) {
  char text[32];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

}  // namespace

Trainer::Trainer(TrainerParts parts)
    : parts_(std::move(parts)),
      parameters_(choose_parameters(parts_.model, parts_.recipe)),
      optimizer_(parameters_, parts_.recipe.optimizer),
      gradients_(parameters_),
      checkpoints_(parts_.folder.checkpoints(), parts_.recipe.checkpoint.keep_last),
      flops_(parts_.model.config(), trained_share(parts_.model, parameters_)),
      saved_at_(Clock::now()) {
  parts_.model.set_activation_memory(parts_.recipe.activation_memory);
  peak_flops_ = parts_.recipe.peak_tflops
                    ? *parts_.recipe.peak_tflops * 1e12
                    : measured_peak_flops(parts_.model.dtype(), parts_.model.device());
  resume();
  metrics_ = std::make_unique<MetricsLog>(parts_.folder.path(), progress_.metrics);
}

Trainer::~Trainer() = default;

void Trainer::resume() {
  progress_.inputs = parts_.inputs;
  const auto latest = checkpoints_.latest();
  if (!latest) return;
  progress_ = checkpoints_.load(*latest, optimizer_.states());
  const auto differences = differing_keys(progress_.inputs, parts_.inputs);
  if (!differences.empty())
    throw Error({.what = "what the run reads has changed since its checkpoint: " + differences[0],
                 .where = parts_.folder.path().string(),
                 .hint = "restore it, or remove the run folder to start over"});
  optimizer_.restored(progress_.step);
  saved_step_ = progress_.step;
  log_info("train", cat("resuming after step ", progress_.step, " of ", parts_.steps.steps()));
}

RunEnd Trainer::run() {
  bar_ = std::make_unique<Progress>("training", parts_.steps.steps(), "steps", progress_.step);
  for (;;) {
    const bool evaluated = !evaluation_due() || evaluate();
    if (!evaluated || (stop_signal() != 0 && !finished())) {
      save_checkpoint();
      bar_.reset();
      return RunEnd::kStopped;
    }
    if (finished()) break;
    if (checkpoint_due()) save_checkpoint();
    train_step();
  }
  bar_.reset();
  metrics_->sync();
  if (progress_.best.step >= 0 && progress_.best.step != progress_.step)
    checkpoints_.load_best(progress_.best.step, parameters_);
  return RunEnd::kFinished;
}

bool Trainer::finished() const { return progress_.step >= parts_.steps.steps() || stopped_early(); }

bool Trainer::stopped_early() const {
  const auto& rule = parts_.recipe.evaluation.early_stopping;
  return rule && progress_.best.evaluations_since >= rule->patience;
}

bool Trainer::evaluation_due() const {
  if (parts_.held_out.empty() || progress_.evaluated_step == progress_.step) return false;
  const EvaluationRecipe& recipe = parts_.recipe.evaluation;
  if (progress_.step == 0) return recipe.at_start;
  return finished() || (recipe.every_steps && progress_.step % *recipe.every_steps == 0);
}

bool Trainer::checkpoint_due() const {
  const CheckpointRecipe& recipe = parts_.recipe.checkpoint;
  if (progress_.step == 0 || progress_.step == saved_step_) return false;
  if (recipe.every_steps && progress_.step % *recipe.every_steps == 0) return true;
  return recipe.every_seconds > 0 && seconds_since(saved_at_) >= recipe.every_seconds;
}

void Trainer::train_step() {
  const auto start = Clock::now();
  const StepPlan plan = parts_.steps.step(progress_.step);
  const double scale = 1.0 / static_cast<double>(std::max<int64_t>(1, plan.supervised_tokens));
  gradients_.clear();
  double loss = 0;
  for (const PackedBatch& packed : plan.micro_batches) {
    loss += backward(packed, scale);
    gradients_.take(static_cast<int64_t>(plan.micro_batches.size()));
  }
  const double norm = gradients_.norm();
  if (!std::isfinite(norm)) refuse_gradient(plan);
  const OptimizerRecipe& recipe = parts_.recipe.optimizer;
  const bool clip = recipe.max_grad_norm > 0 && norm > recipe.max_grad_norm;
  optimizer_.step(
      gradients_.tensors(),
      learning_rate(parts_.recipe.schedule, recipe.lr, progress_.step, parts_.steps.steps()),
      clip ? recipe.max_grad_norm / norm : 1.0);
  progress_.loss = loss;
  record_step(plan, norm, seconds_since(start));
}

double Trainer::backward(const PackedBatch& packed, double scale) {
  const Batch batch = to_device(packed, parts_.model.device());
  PackedAttention attention(batch.segment_starts);
  const at::Tensor hidden = forward(parts_.model, batch, attention);
  const at::Tensor loss = parts_.objective.loss(parts_.model, hidden, batch, scale);
  const auto value = static_cast<double>(loss.item<float>());
  if (!std::isfinite(value)) refuse_loss(packed, value);
  torch::autograd::backward({loss}, {});
  return value;
}

void Trainer::refuse_loss(const PackedBatch& packed, double loss) {
  const Batch batch = to_device(packed, parts_.model.device());
  const auto place = first_non_finite(parts_.model, batch);
  throw Error(
      {.what = cat("the loss is ", loss,
                   "; the first value that is not finite: ", place.value_or("the loss itself")),
       .where = cat("step ", progress_.step + 1, ", ", parts_.steps.describe(packed)),
       .hint = "nothing of this step is saved; lower optimizer.lr or look at the documents"});
}

void Trainer::refuse_gradient(const StepPlan& plan) {
  const auto place = first_non_finite_gradient(parameters_, gradients_.tensors());
  std::string documents;
  for (const PackedBatch& packed : plan.micro_batches)
    documents += (documents.empty() ? "" : "; ") + parts_.steps.describe(packed);
  throw Error(
      {.what = "a gradient is not finite; the first one: " +
               place.value_or("none alone, but their norm overflows"),
       .where = cat("step ", progress_.step + 1, ", ", documents),
       .hint = "nothing of this step is saved; lower optimizer.lr or look at the documents"});
}

void Trainer::record_step(const StepPlan& plan, double gradient_norm, double seconds) {
  double flops = 0;
  for (const PackedBatch& packed : plan.micro_batches) flops += flops_(packed);
  const double lr = learning_rate(parts_.recipe.schedule, parts_.recipe.optimizer.lr,
                                  progress_.step, parts_.steps.steps());
  const double tokens_per_second = static_cast<double>(plan.tokens) / seconds;
  ++progress_.step;
  progress_.tokens += plan.tokens;
  progress_.supervised_tokens += plan.supervised_tokens;
  progress_.seconds += seconds;
  progress_.flops += flops;
  metrics_->add(progress_.step, "train",
                {{"loss", progress_.loss},
                 {"lr", lr},
                 {"grad_norm", gradient_norm},
                 {"tokens", plan.tokens},
                 {"supervised_tokens", plan.supervised_tokens},
                 {"total_tokens", progress_.tokens},
                 {"seconds", seconds},
                 {"tokens_per_second", tokens_per_second},
                 {"mfu", flops / seconds / peak_flops_},
                 {"memory_bytes", memory_in_use(parts_.model.device())}});
  bar_->note(cat("loss ", rounded(progress_.loss, "%.4f"), ", ", rounded(tokens_per_second, "%.0f"),
                 " tokens/s"));
  bar_->advance_to(progress_.step);
}

// False when a stop signal came before all sets were done; nothing is recorded then, and the
// evaluation runs again after the restart.
bool Trainer::evaluate() {
  Json records = Json::array();
  for (const HeldOutSet& set : parts_.held_out) {
    const std::optional<double> loss = evaluate_set(set);
    if (!loss) return false;
    records.push_back({{"step", progress_.step},
                       {"set", set.name},
                       {"loss", *loss},
                       {"perplexity", std::exp(*loss)}});
  }
  std::string line;
  for (const Json& record : records) {
    const auto name = record["set"].get<std::string>();
    const double loss = record["loss"].get<double>();
    metrics_->add(progress_.step, "eval/" + name,
                  {{"evaluation", name}, {"loss", loss}, {"perplexity", std::exp(loss)}});
    line += cat(line.empty() ? "" : ", ", name, " loss ", rounded(loss, "%.4f"), " (perplexity ",
                rounded(std::exp(loss), "%.2f"), ")");
    progress_.evaluations.push_back(record);
    if (name == parts_.recipe.evaluation.best) consider_best(loss);
  }
  log_info("eval", cat("step ", progress_.step, ": ", line));
  progress_.evaluated_step = progress_.step;
  return true;
}

std::optional<double> Trainer::evaluate_set(const HeldOutSet& set) {
  const at::NoGradGuard no_gradients;
  const CrossEntropyObjective objective;
  double total = 0;
  int64_t count = 0;
  for (int64_t i = 0; i < set.batches; ++i) {
    if (stop_signal() != 0) return std::nullopt;
    const Batch batch = to_device(set.batch(i), parts_.model.device());
    PackedAttention attention(batch.segment_starts);
    const at::Tensor hidden = forward(parts_.model, batch, attention);
    total += static_cast<double>(objective.loss(parts_.model, hidden, batch, 1.0).item<float>());
    count += batch.supervised_tokens;
  }
  const double loss = total / static_cast<double>(std::max<int64_t>(1, count));
  if (!std::isfinite(loss))
    throw Error({.what = cat("the held-out loss is ", loss),
                 .where = cat("step ", progress_.step, ", evaluation set ", set.name)});
  return loss;
}

void Trainer::consider_best(double loss) {
  BestEvaluation& best = progress_.best;
  const auto& rule = parts_.recipe.evaluation.early_stopping;
  if (best.step >= 0 && loss >= best.loss - (rule ? rule->min_delta : 0.0)) {
    ++best.evaluations_since;
    return;
  }
  best = {progress_.step, loss, 0};
  checkpoints_.save_best(progress_.step, parameters_);
}

void Trainer::save_checkpoint() {
  if (progress_.step == saved_step_) return;
  progress_.metrics = metrics_->sync();
  checkpoints_.save(progress_, optimizer_.states());
  saved_step_ = progress_.step;
  saved_at_ = Clock::now();
  log_debug("train", cat("checkpoint after step ", progress_.step));
}

Json Trainer::summary() const {
  const double seconds = progress_.seconds;
  return {{"steps", progress_.step},
          {"planned_steps", parts_.steps.steps()},
          {"stopped_early", stopped_early()},
          {"tokens", progress_.tokens},
          {"supervised_tokens", progress_.supervised_tokens},
          {"trained_numbers", trained_numbers()},
          {"final_loss", progress_.loss},
          {"result_step", progress_.best.step >= 0 ? progress_.best.step : progress_.step},
          {"evaluations", progress_.evaluations},
          {"seconds", seconds},
          {"tokens_per_second", static_cast<double>(progress_.tokens) / std::max(seconds, 1e-9)},
          {"mfu", progress_.flops / std::max(seconds, 1e-9) / peak_flops_},
          {"peak_tflops", peak_flops_ / 1e12}};
}

}  // namespace gradus
