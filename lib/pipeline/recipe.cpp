// SPDX-License-Identifier: Apache-2.0
#include "pipeline/recipe.h"

#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "pipeline/expand.h"
#include "recipe/overrides.h"
#include "recipe/yaml_node.h"

namespace gradus {
namespace {

// A name is also the name of a folder and a part of an override's key.
bool is_stage_name(const std::string& name) {
  const auto allowed = [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '_'; };
  const bool number =
      std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isdigit(c); });
  return !name.empty() && name.size() <= 64 && !number &&
         std::all_of(name.begin(), name.end(), allowed);
}

const YamlNode* vars_of(const YamlNode& root) {
  for (const YamlEntry& entry : root.entries) {
    if (entry.key == "vars") return entry.value.get();
  }
  return nullptr;
}

// A variable that the file does not name is used nowhere: a typing error.
void check_variables(const YamlNode& file, const YamlNode& overridden, Problems& problems) {
  std::vector<std::string> names;
  if (const YamlNode* vars = vars_of(file)) {
    for (const YamlEntry& entry : vars->entries) names.push_back(entry.key);
  }
  const YamlNode* vars = vars_of(overridden);
  if (!vars) return;
  for (const YamlEntry& entry : vars->entries) {
    if (entry.key == "out" || std::find(names.begin(), names.end(), entry.key) != names.end())
      continue;
    problems.add_at(entry.place, "vars." + printable(entry.key),
                    unknown_name("unknown variable", entry.key, names));
  }
}

}  // namespace

void StageRecipe::check(Problems& problems) const {
  if (!is_stage_name(name))
    problems.add("name", "is not a name (letters, digits, - and _, not a number, at most 64)");
  if (recipe.node() && !recipe_file.empty())
    problems.add("recipe_file", "a stage has a recipe or a recipe_file, not both");
  if (overrides.node() && recipe_file.empty())
    problems.add("overrides", "are for a recipe_file; change the recipe itself");
}

void PipelineRecipe::check(Problems& problems) const {
  for (size_t i = 0; i < stages.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (stages[i].name == stages[j].name)
        problems.add(cat("stages.", i, ".name"), "another stage has this name");
    }
  }
}

PipelineRecipe load_pipeline_recipe(const fs::path& file,
                                    const std::vector<std::string>& overrides) {
  const RecipeNode root = read_recipe(file);
  Problems problems;
  YamlPtr tree = apply_overrides(root.node(), number_stages(overrides, *root.node()), problems);
  check_variables(*root.node(), *tree, problems);
  tree = expand_pipeline(tree, problems);
  problems.throw_if_any();
  return load_recipe<PipelineRecipe>(RecipeNode(tree, ""));
}

RecipeNode stage_recipe_node(const StageRecipe& stage) {
  if (stage.recipe_file.empty()) return stage.recipe;
  const RecipeNode file = read_recipe(stage.recipe_file);
  if (!stage.overrides.node()) return file;
  return {merge_trees(file.node(), stage.overrides.node()), ""};
}

}  // namespace gradus
