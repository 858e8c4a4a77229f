// SPDX-License-Identifier: Apache-2.0
// gradus sft: L1 -> L2, supervised fine-tuning on conversations.
#include <algorithm>

#include "commands.h"
#include "recipe_command.h"
#include "training.h"

namespace gradus {
namespace {

void require_chats(const TrainingData& data) {
  const auto& sources = data.plan.sources();
  if (std::any_of(sources.begin(), sources.end(),
                  [](const PackedSource& source) { return source.source().has_chats(); }))
    return;
  throw Error({.what = "no source holds conversations",
               .where = "data.sources",
               .expected = "alpaca, sharegpt or messages rows",
               .hint = "plain text is for gradus pretrain-continue"});
}

int run(const CommandLine& line) {
  const auto recipe = recipe_or_answer<SftRecipe>(line, "sft");
  if (!recipe) return kExitOk;
  return run_training(
      line, {.kind = LineageKind::kSft,
             .recipe = *recipe,
             .resolved = resolved_text(*recipe),
             .parents = {{"base", recipe->model}},
             .check_data = require_chats,
             .load_trained = [&](const LoadOptions& o) { return load_model(recipe->model, o); },
             .make_objective = plain_objective});
}

}  // namespace

Command sft_command() {
  return {"sft",
          "fine-tune on conversations: all weights, chosen layers, or LoRA (L1 to L2)",
          "recipe.yaml [key=value …]",
          recipe_flags,
          recipe_details<SftRecipe>,
          run};
}

}  // namespace gradus
