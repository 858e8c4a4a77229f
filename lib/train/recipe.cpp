// SPDX-License-Identifier: Apache-2.0
#include "train/recipe.h"

#include <algorithm>

namespace gradus {

std::span<const EnumName<TrainDtype>> enum_names(TrainDtype) {
  static constexpr EnumName<TrainDtype> kNames[] = {{"bfloat16", TrainDtype::kBFloat16},
                                                    {"float32", TrainDtype::kFloat32}};
  return kNames;
}

std::span<const EnumName<ScheduleKind>> enum_names(ScheduleKind) {
  static constexpr EnumName<ScheduleKind> kNames[] = {{"cosine", ScheduleKind::kCosine},
                                                      {"wsd", ScheduleKind::kWsd},
                                                      {"linear", ScheduleKind::kLinear},
                                                      {"constant", ScheduleKind::kConstant}};
  return kNames;
}

std::span<const EnumName<TrainMethod>> enum_names(TrainMethod) {
  static constexpr EnumName<TrainMethod> kNames[] = {
      {"full", TrainMethod::kFull}, {"freeze", TrainMethod::kFreeze}, {"lora", TrainMethod::kLora}};
  return kNames;
}

std::span<const EnumName<ActivationMemory>> enum_names(ActivationMemory) {
  static constexpr EnumName<ActivationMemory> kNames[] = {
      {"keep", ActivationMemory::kKeep}, {"recompute", ActivationMemory::kRecompute}};
  return kNames;
}

void ScheduleRecipe::check(Problems& problems) const {
  if (warmup_steps && warmup_ratio)
    problems.add("warmup_ratio", "give warmup_steps or warmup_ratio, not both");
  if (decay_ratio && kind != ScheduleKind::kWsd)
    problems.add("decay_ratio", "has no effect: kind is not wsd");
}

void FreezeRecipe::check(Problems& problems) const {
  if (last_layers && !layers.empty())
    problems.add("layers", "give last_layers or layers, not both");
  if (!last_layers && layers.empty() && !embeddings && !head)
    problems.add("", "nothing would be trained: give last_layers, layers, embeddings or head");
}

void LoraRecipe::check(Problems& problems) const {
  if (lora_bias && use_dora) problems.add("lora_bias", "does not go with use_dora");
  for (const std::string& target : targets) {
    if (target == "all-linear" && targets.size() > 1)
      problems.add("targets", "all-linear stands alone");
    if (target.ends_with("lm_head"))
      problems.add("targets", "lm_head has no adapter: train it whole, modules_to_save: [lm_head]");
  }
}

void EvaluationRecipe::check(Problems& problems) const {
  if (early_stopping && best.empty())
    problems.add("early_stopping", "needs evaluation.best, the held-out set that it watches");
  if (early_stopping && !every_steps)
    problems.add("early_stopping", "needs evaluation.every_steps");
}

void StudentRecipe::check(Problems& problems) const {
  const int ways = !keep_layers.empty() + keep_every.has_value() +
                   (keep_first.has_value() || keep_last.has_value());
  if (ways > 1)
    problems.add("", "choose layers by keep_layers, by keep_every, or by keep_first and keep_last");
}

void DistillRecipe::check(Problems& problems) const {
  check_sections(problems);
  if (distillation && !teacher)
    problems.add("distillation", "has no effect: there is no teacher to learn from");
}

void TrainingRecipe::check_sections(Problems& problems) const {
  if (freeze && method != TrainMethod::kFreeze)
    problems.add("freeze", "has no effect: method is not freeze");
  if (!freeze && method == TrainMethod::kFreeze)
    problems.add("freeze", "is missing: method freeze needs to know what to train");
  if (lora && method != TrainMethod::kLora)
    problems.add("lora", "has no effect: method is not lora");
  const auto named = [&](const SourceRecipe& source) { return source.name == evaluation.best; };
  if (!evaluation.best.empty() &&
      std::none_of(data.evaluation.begin(), data.evaluation.end(), named))
    problems.add("evaluation.best", "is not the name of a set in data.evaluation");
  if (evaluation.every_steps && data.evaluation.empty())
    problems.add("evaluation.every_steps",
                 "there is nothing to evaluate: data.evaluation is empty");
}

}  // namespace gradus
