// SPDX-License-Identifier: Apache-2.0
// The recipes of pretrain-continue, sft and distill. They share every section that concerns the
// step loop; docs/training.md explains the keys.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/recipe.h"
#include "model/transformer.h"
#include "recipe/recipe.h"

namespace gradus {

enum class TrainDtype { kBFloat16, kFloat32 };
enum class ScheduleKind { kCosine, kWsd, kLinear, kConstant };
enum class TrainMethod { kFull, kFreeze, kLora };

std::span<const EnumName<TrainDtype>> enum_names(TrainDtype);
std::span<const EnumName<ScheduleKind>> enum_names(ScheduleKind);
std::span<const EnumName<TrainMethod>> enum_names(TrainMethod);
std::span<const EnumName<ActivationMemory>> enum_names(ActivationMemory);

// AdamW (Loshchilov & Hutter 2019), as torch.optim.AdamW.
struct OptimizerRecipe {
  double lr = 1e-4;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0.1;
  bool decay_embeddings = false;
  double max_grad_norm = 1.0;

  template <class V>
  void visit(V& v) {
    v("lr", lr, "peak learning rate", rule::positive);
    v("beta1", beta1, "decay of the first moment", rule::at_least(0), rule::below(1));
    v("beta2", beta2, "decay of the second moment", rule::at_least(0), rule::below(1));
    v("eps", eps, "added to the root of the second moment", rule::positive);
    v("weight_decay", weight_decay, "decoupled decay of matrices; never of norms and biases",
      rule::at_least(0));
    v("decay_embeddings", decay_embeddings, "let the weight decay reach the embeddings too");
    v("max_grad_norm", max_grad_norm, "clip gradients to this global norm; 0: no clipping",
      rule::at_least(0));
  }
};

struct ScheduleRecipe {
  ScheduleKind kind = ScheduleKind::kCosine;
  std::optional<int64_t> warmup_steps = {};
  std::optional<double> warmup_ratio = {};
  double min_lr_ratio = 0.1;
  std::optional<double> decay_ratio = {};

  template <class V>
  void visit(V& v) {
    v("kind", kind, "how the learning rate falls after the warm-up");
    v("warmup_steps", warmup_steps, "steps of linear warm-up", rule::at_least(0));
    v("warmup_ratio", warmup_ratio, "the same as a share of all steps", rule::in_range(0, 1));
    v("min_lr_ratio", min_lr_ratio, "last learning rate, as a share of lr", rule::in_range(0, 1));
    v("decay_ratio", decay_ratio, "wsd: share of all steps that decays at the end; default: 0.2",
      rule::in_range(0, 1));
  }
  void check(Problems& problems) const;
  double decay_ratio_or_default() const { return decay_ratio.value_or(0.2); }
};

struct FreezeRecipe {
  std::optional<int64_t> last_layers = {};
  std::vector<int64_t> layers = {};
  bool embeddings = false;
  bool head = false;

  template <class V>
  void visit(V& v) {
    v("last_layers", last_layers, "train this many layers at the end", rule::at_least(1));
    v("layers", layers, "train these layers, counted from 0", rule::at_least(0));
    v("embeddings", embeddings, "train the input embeddings too");
    v("head", head,
      "train the last norm and the output projection too (which is the embedding matrix in models "
      "that tie them)");
  }
  void check(Problems& problems) const;
};

struct LoraRecipe {
  std::vector<std::string> targets = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                      "gate_proj", "up_proj", "down_proj"};
  int64_t rank = 16;
  double alpha = 32;
  bool use_rslora = false;
  bool use_dora = false;
  bool lora_bias = false;
  std::map<std::string, int64_t> rank_pattern = {};
  std::map<std::string, double> alpha_pattern = {};
  std::vector<std::string> modules_to_save = {};
  bool merge = true;

  template <class V>
  void visit(V& v) {
    v("targets", targets,
      "projections that get an adapter, by the end of their names; all-linear: every one but the "
      "output's",
      rule::non_empty);
    v("rank", rank, "rank of the adapters", rule::in_range(1, 65536));
    v("alpha", alpha, "the update is scaled by alpha / rank", rule::positive);
    v("use_rslora", use_rslora, "scale by alpha / sqrt(rank) instead (rsLoRA)");
    v("use_dora", use_dora, "learn the length of each weight row apart from its direction (DoRA)");
    v("lora_bias", lora_bias, "learn a bias beside B, for projections that have one");
    v("rank_pattern", rank_pattern,
      "other ranks, by a regular expression for the end of the projection's name",
      rule::in_range(1, 65536));
    v("alpha_pattern", alpha_pattern, "other alphas, likewise", rule::positive);
    v("modules_to_save", modules_to_save,
      "modules that are trained whole beside the adapters, by the end of their names: "
      "embed_tokens, "
      "lm_head, norm");
    v("merge", merge, "also write the merged model, not only the adapter");
  }
  void check(Problems& problems) const;
};

struct EarlyStoppingRecipe {
  int64_t patience = 3;
  double min_delta = 0.0;

  template <class V>
  void visit(V& v) {
    v("patience", patience, "stop after this many evaluations without a better loss",
      rule::at_least(1));
    v("min_delta", min_delta, "a loss must be lower by more than this to count as better",
      rule::at_least(0));
  }
};

// When the held-out sets of data.evaluation are evaluated, and what follows from it.
struct EvaluationRecipe {
  std::optional<int64_t> every_steps;
  bool at_start = true;
  std::string best;
  std::optional<EarlyStoppingRecipe> early_stopping;

  template <class V>
  void visit(V& v) {
    v("every_steps", every_steps, "steps between evaluations; without it only at the end",
      rule::at_least(1));
    v("at_start", at_start, "evaluate before the first step too");
    v("best", best,
      "held-out set whose lowest loss chooses the result; empty: the result is the last step");
    v("early_stopping", early_stopping, "stop when the set named by `best` no longer improves");
  }
  void check(Problems& problems) const;
};

struct CheckpointRecipe {
  std::optional<int64_t> every_steps;
  double every_seconds = 600;
  int64_t keep_last = 1;
  bool keep_finished = false;

  template <class V>
  void visit(V& v) {
    v("every_steps", every_steps, "steps between checkpoints, besides those by time",
      rule::at_least(1));
    v("every_seconds", every_seconds, "time between checkpoints; 0: not by time", rule::at_least(0),
      rule::unit("s"));
    v("keep_last", keep_last, "checkpoints kept on disk", rule::at_least(1));
    v("keep_finished", keep_finished, "keep the checkpoints of a finished run");
  }
};

// What all three commands have in common.
struct TrainingRecipe {
  std::string output;
  int64_t seed = 0;
  std::string device = "auto";
  TrainDtype dtype = TrainDtype::kBFloat16;
  int64_t threads = 0;
  DataRecipe data;
  BatchRecipe batch;
  OptimizerRecipe optimizer;
  ScheduleRecipe schedule;
  TrainMethod method = TrainMethod::kFull;
  std::optional<FreezeRecipe> freeze;
  std::optional<LoraRecipe> lora;
  EvaluationRecipe evaluation;
  CheckpointRecipe checkpoint;
  ActivationMemory activation_memory = ActivationMemory::kKeep;
  std::optional<double> peak_tflops;

  template <class V>
  void visit(V& v) {
    v("output", output, "run folder; run the same recipe again to resume", rule::required,
      rule::path_output);
    v("seed", seed, "of the data order and of new weights", rule::at_least(0));
    v("device", device, "auto, cpu, cuda or cuda:N", rule::non_empty);
    v("dtype", dtype, "of weights and activations; the optimizer keeps fp32 weights either way");
    v("threads", threads, "CPU threads; 0: all usable cores", rule::in_range(0, 4096));
    v("data", data, "what is trained and evaluated on");
    v("batch", batch, "size and number of optimizer steps");
    v("optimizer", optimizer, "AdamW");
    v("schedule", schedule, "learning rate over the steps");
    v("method", method, "which weights are trained");
    v("freeze", freeze, "method freeze: what is trained, all else stays");
    v("lora", lora, "method lora: low-rank adapters");
    v("evaluation", evaluation, "when to evaluate the held-out sets");
    v("checkpoint", checkpoint, "how often the run can be resumed from");
    v("activation_memory", activation_memory,
      "keep activations, or recompute them in the backward pass to save memory");
    v("peak_tflops", peak_tflops,
      "speed that MFU is measured against; without it a matrix product is timed at the start",
      rule::positive);
  }
  // For the check() of the recipes below.
  void check_sections(Problems& problems) const;
  LoraRecipe lora_or_default() const { return lora.value_or(LoraRecipe{}); }
};

struct PretrainRecipe : TrainingRecipe {
  std::string model;

  template <class V>
  void visit(V& v) {
    v("model", model, "folder of the model to continue from", rule::required, rule::path_input);
    TrainingRecipe::visit(v);
  }
  void check(Problems& problems) const { check_sections(problems); }
};

struct SftRecipe : TrainingRecipe {
  SftRecipe() {
    optimizer.lr = 2e-5;
    optimizer.beta2 = 0.999;
    optimizer.weight_decay = 0.0;
  }
  std::string model;

  template <class V>
  void visit(V& v) {
    v("model", model, "folder of the model to fine-tune", rule::required, rule::path_input);
    TrainingRecipe::visit(v);
  }
  void check(Problems& problems) const { check_sections(problems); }
};

// The student: chosen layers of a model, all of them when nothing is chosen.
struct StudentRecipe {
  std::string from = {};
  std::vector<int64_t> keep_layers = {};
  std::optional<int64_t> keep_every = {};
  std::optional<int64_t> keep_first = {};
  std::optional<int64_t> keep_last = {};

  template <class V>
  void visit(V& v) {
    v("from", from, "folder of the model that the student is made from", rule::required,
      rule::path_input);
    v("keep_layers", keep_layers, "layers to keep, counted from 0", rule::at_least(0));
    v("keep_every", keep_every, "keep layers 0, N, 2N, …", rule::at_least(1));
    v("keep_first", keep_first, "keep this many layers at the start", rule::at_least(0));
    v("keep_last", keep_last, "keep this many layers at the end", rule::at_least(0));
  }
  void check(Problems& problems) const;
};

struct DistillationRecipe {
  double temperature = 1.0;
  double hard_weight = 0.0;
  double reverse_weight = 0.0;

  template <class V>
  void visit(V& v) {
    v("temperature", temperature, "both models' logits are divided by it", rule::positive);
    v("hard_weight", hard_weight, "share of the cross-entropy with the data's own tokens",
      rule::in_range(0, 1));
    v("reverse_weight", reverse_weight, "share of KL(student || teacher) in the divergence",
      rule::in_range(0, 1));
  }
};

struct DistillRecipe : TrainingRecipe {
  DistillRecipe() { optimizer.weight_decay = 0.01; }
  std::optional<std::string> teacher;
  StudentRecipe student;
  std::optional<DistillationRecipe> distillation;

  template <class V>
  void visit(V& v) {
    v("teacher", teacher,
      "folder of the teacher; without one the same student learns from the data alone",
      rule::path_input);
    v("student", student, "the model that is trained");
    v("distillation", distillation, "what the student learns from the teacher");
    TrainingRecipe::visit(v);
  }
  void check(Problems& problems) const;
};

}  // namespace gradus
