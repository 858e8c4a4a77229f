// SPDX-License-Identifier: Apache-2.0
// What the pipeline needs to know of a command that can be a stage. The table of them is made in
// apps/gradus, so the pipeline knows no command's recipe.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "hub/hub.h"
#include "recipe/recipe.h"

namespace gradus {

// What a command does when it starts on its own unfinished output with the same recipe.
enum class AfterCrash {
  kResumes,     // goes on from its last checkpoint, to the same result
  kStartsOver,  // the pipeline removes what is there first
};

// A stage's recipe, read by its command's struct: complete, with defaults.
struct ResolvedRecipe {
  Json values;
  std::string yaml;
  std::vector<PathField> paths;
};

struct StageCommand {
  std::string name;  // "sft", "model import": the words on the command line
  AfterCrash after_crash = AfterCrash::kStartsOver;
  std::function<ResolvedRecipe(const RecipeNode&)> resolve;
  // For a command without a recipe file: its arguments. Empty: the path of the written recipe.
  std::function<std::vector<std::string>(const ResolvedRecipe&)> arguments = {};
  // For a command that also leaves notes in its inputs: puts them back when the stage is up to date
  // but an input was made again.
  std::function<void(const ResolvedRecipe&)> restore = {};
};

// The command whose recipe is an R. Input paths may be missing: they may be another stage's output.
// Inputs on a hub get the commit that their revision stands at now, so that the stage's key names
// what the stage will read.
template <class R>
StageCommand stage_command(const std::string& name, AfterCrash after_crash) {
  const auto resolve = [](const RecipeNode& node) -> ResolvedRecipe {
    R recipe = load_recipe<R>(node, {}, InputPaths::kMayBeMissing);
    change_paths(recipe, [](const PathField& field) {
      const bool input = field.kind == PathKind::kInput || field.kind == PathKind::kData;
      return input ? pin_reference(field.path) : field.path;
    });
    return {recipe_json(recipe), dump_recipe(recipe), recipe_paths(recipe)};
  };
  return {.name = name, .after_crash = after_crash, .resolve = resolve};
}

}  // namespace gradus
