// SPDX-License-Identifier: Apache-2.0
// The pipeline recipe as it is written: `out`, `vars` and `stages`. See docs/run.md.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "recipe/recipe.h"

namespace gradus {

struct StageRecipe {
  std::string name;
  std::string command;
  RecipeNode recipe;
  std::string recipe_file;
  RecipeNode overrides;
  std::vector<std::string> needs;

  template <class V>
  void visit(V& v) {
    v("name", name, "name of the stage: letters, digits, - and _", rule::required);
    v("command", command, "the gradus command it runs, e.g. sft or 'model import'", rule::required);
    v("recipe", recipe, "the command's recipe, written here");
    v("recipe_file", recipe_file, "the command's recipe in a file of its own", rule::path_input);
    v("overrides", overrides, "keys that replace those of recipe_file");
    v("needs", needs, "stages to run first beyond those whose output it reads");
  }
  void check(Problems& problems) const;
};

struct PipelineRecipe {
  std::string out;
  std::map<std::string, std::string> vars;
  std::vector<StageRecipe> stages;

  template <class V>
  void visit(V& v) {
    v("out", out, "folder for the pipeline's own records; ${out} in stages", rule::required);
    v("vars", vars, "values for ${name}; each may use ${out} and those above it");
    v("stages", stages, "the stages, in any order", rule::non_empty);
  }
  void check(Problems& problems) const;
};

// Loads `file` with overrides. `stages.<name>.…` addresses a stage by its name as well as by its
// number, and `stages.<name>.recipe.…` also changes the recipe of a stage that has a recipe_file.
// Variables are replaced in everything below `stages`.
PipelineRecipe load_pipeline_recipe(const fs::path& file,
                                    const std::vector<std::string>& overrides);

// The recipe of a stage: `recipe`, or recipe_file with `overrides` merged over it (maps are merged,
// anything else replaced; "train.steps" as a key means steps below train).
RecipeNode stage_recipe_node(const StageRecipe& stage);

}  // namespace gradus
