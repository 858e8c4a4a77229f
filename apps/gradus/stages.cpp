// SPDX-License-Identifier: Apache-2.0
#include "stages.h"

#include "commands.h"
#include "eval/recipe.h"
#include "model/merge_recipe.h"
#include "quant/recipe.h"
#include "train/recipe.h"

namespace gradus {
namespace {

// As a stage, `model import` has a recipe that stands for its arguments.
struct ImportRecipe {
  std::string file;
  std::string output;
  std::string dtype = "bfloat16";

  template <class V>
  void visit(V& v) {
    v("file", file, "GGUF file to import", rule::required, rule::path_input);
    v("output", output, "model folder to write", rule::required, rule::path_output);
    v("dtype", dtype, "precision of the weights", rule::one_of({"float32", "bfloat16", "float16"}));
  }
};

StageCommand import_stage() {
  StageCommand command = stage_command<ImportRecipe>("model import", AfterCrash::kStartsOver);
  command.arguments = [](const ResolvedRecipe& recipe) -> std::vector<std::string> {
    const Json& values = recipe.values;
    return {values.at("file"), "--out", values.at("output"), "--dtype", values.at("dtype")};
  };
  return command;
}

StageCommand eval_stage() {
  StageCommand command = stage_command<EvalRecipe>("eval", AfterCrash::kStartsOver);
  command.restore = [](const ResolvedRecipe& recipe) { restore_evaluation(recipe.yaml); };
  return command;
}

}  // namespace

std::vector<StageCommand> stage_commands() {
  return {import_stage(),
          stage_command<PretrainRecipe>("pretrain-continue", AfterCrash::kResumes),
          stage_command<SftRecipe>("sft", AfterCrash::kResumes),
          stage_command<DistillRecipe>("distill", AfterCrash::kResumes),
          stage_command<QuantizeRecipe>("quantize", AfterCrash::kStartsOver),
          stage_command<MergeRecipe>("model merge", AfterCrash::kStartsOver),
          eval_stage(),
          stage_command<CompareRecipe>("compare", AfterCrash::kStartsOver)};
}

}  // namespace gradus
