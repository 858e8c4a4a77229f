// SPDX-License-Identifier: Apache-2.0
// gradus distill: a teacher guides a student made from some of its layers.
#include "commands.h"
#include "data/text_tools.h"
#include "recipe_command.h"
#include "train/student.h"
#include "training.h"

namespace gradus {
namespace {

void check_vocabularies(const fs::path& teacher, const fs::path& student) {
  const int64_t theirs = read_model_config(teacher).vocab_size,
                ours = read_model_config(student).vocab_size;
  if (theirs != ours)
    throw Error({.what = "teacher and student have different vocabularies",
                 .where = teacher.string(),
                 .expected = cat(ours, " tokens, as ", student.string()),
                 .found = std::to_string(theirs)});
  if (load_text_tools(teacher).tokenizer_digest != load_text_tools(student).tokenizer_digest)
    throw Error({.what = "teacher and student have different tokenizer files",
                 .where = teacher.string(),
                 .expected = "those of " + student.string()});
}

int64_t count_kept(const DistillRecipe& recipe, int64_t layers) {
  return static_cast<int64_t>(kept_layers(recipe.student, layers).size());
}

Transformer load_student(const DistillRecipe& recipe, const LoadOptions& options) {
  const Transformer whole = load_model(recipe.student.from, options);
  return keep_layers(whole, kept_layers(recipe.student, whole.config().num_hidden_layers));
}

std::unique_ptr<Objective> make_objective(const DistillRecipe& recipe, const LoadOptions& options) {
  if (!recipe.teacher) return plain_objective(options);
  return std::make_unique<DistillationObjective>(
      load_model(*recipe.teacher, options), recipe.distillation.value_or(DistillationRecipe{}));
}

int run(const CommandLine& line) {
  const auto recipe = recipe_or_answer<DistillRecipe>(line, "distill");
  if (!recipe) return kExitOk;
  std::vector<ParentModel> parents = {{"base", recipe->student.from}};
  if (recipe->teacher) parents.push_back({"teacher", *recipe->teacher});
  return run_training(
      line, {.kind = LineageKind::kDistill,
             .recipe = *recipe,
             .resolved = resolved_text(*recipe),
             .parents = parents,
             .check_models =
                 [&] {
                   if (recipe->teacher) check_vocabularies(*recipe->teacher, recipe->student.from);
                 },
             .kept_layers = [&](int64_t layers) { return count_kept(*recipe, layers); },
             .load_trained = [&](const LoadOptions& o) { return load_student(*recipe, o); },
             .make_objective = [&](const LoadOptions& o) { return make_objective(*recipe, o); }});
}

}  // namespace

Command distill_command() {
  return {"distill",
          "train a smaller student on a teacher's predictions",
          "recipe.yaml [key=value …]",
          recipe_flags,
          recipe_details<DistillRecipe>,
          run};
}

}  // namespace gradus
