// SPDX-License-Identifier: Apache-2.0
// gradus pretrain-continue: L0 -> L1, continued pre-training on a mix of texts.
#include "commands.h"
#include "recipe_command.h"
#include "training.h"

namespace gradus {
namespace {

int run(const CommandLine& line) {
  const auto recipe = recipe_or_answer<PretrainRecipe>(line, "pretrain-continue");
  if (!recipe) return kExitOk;
  return run_training(
      line, {.kind = LineageKind::kPretrainContinue,
             .recipe = *recipe,
             .resolved = resolved_text(*recipe),
             .parents = {{"base", recipe->model}},
             .load_trained = [&](const LoadOptions& o) { return load_model(recipe->model, o); },
             .make_objective = plain_objective});
}

}  // namespace

Command pretrain_continue_command() {
  return {"pretrain-continue",
          "continue pre-training on a mix of general and domain text (L0 to L1)",
          "recipe.yaml [key=value …]",
          recipe_flags,
          recipe_details<PretrainRecipe>,
          run};
}

}  // namespace gradus
