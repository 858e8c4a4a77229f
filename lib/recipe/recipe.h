// SPDX-License-Identifier: Apache-2.0
// Typed recipes. A plain struct names each field once:
//
//   struct TrainRecipe {
//     std::string model;
//     double lr = 2e-5;
//     std::optional<LoraRecipe> lora;
//     template <class V> void visit(V& v) {
//       v("model", model, "folder of the model to train", rule::required, rule::path_input);
//       v("lr", lr, "peak learning rate", rule::positive);
//       v("lora", lora, "low-rank adapters; without it every weight is trained");
//     }
//     void check(Problems& problems) const;   // optional: rules across fields
//   };
//
// From that one visitor come loading, overrides, help, dump and JSON Schema.
// Everything is strict: unknown keys, wrong types, duplicates and broken rules are errors, and one
// gradus::Error carries all of them, a line each: "recipe.yaml:12:3: train.lrr: unknown key (did
// you mean lr?)". Top-level keys that start with "x-" are left for anchors. See docs/recipes.md.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "recipe/field.h"
#include "recipe/problems.h"
#include "recipe/rules.h"

namespace gradus {

struct YamlNode;

// A part of a recipe that is loaded later, by a struct of its own. Errors keep the line and the
// full key of the file that it was written in. Default-made: an empty map from nowhere.
class RecipeNode {
 public:
  RecipeNode() = default;
  RecipeNode(std::shared_ptr<const YamlNode> node, std::string key);

  const std::shared_ptr<const YamlNode>& node() const { return node_; }
  const std::string& key() const { return key_; }  // "stages.1.recipe"; "" for a whole file
  std::string where() const;                       // "pipeline.yaml:12:5"
  Json json() const;

 private:
  std::shared_ptr<const YamlNode> node_;
  std::string key_;
};

// Syntax, duplicates and bounds are checked here; throws gradus::Error. An empty `file` is an empty
// recipe: everything then comes from overrides.
RecipeNode read_recipe(const fs::path& file);

// Whether fields marked rule::path_input or path_data must exist already: in a pipeline, they may
// be the output of a stage that has not run.
enum class InputPaths { kMustExist, kMayBeMissing };

template <class R>
R load_recipe(const fs::path& file, const std::vector<std::string>& overrides = {},
              InputPaths inputs = InputPaths::kMustExist);
template <class R>
R load_recipe(const RecipeNode& node, const std::vector<std::string>& overrides = {},
              InputPaths inputs = InputPaths::kMustExist);
template <class R>
R parse_recipe(std::string_view yaml, const std::string& where,
               const std::vector<std::string>& overrides = {},
               InputPaths inputs = InputPaths::kMustExist);

// All fields with their values, in the order of the struct. dump_recipe is YAML that loads back to
// the same recipe.
template <class R>
Json recipe_json(const R& recipe);
template <class R>
std::string dump_recipe(const R& recipe);

// Every key with type, default, rules and help, laid out as the YAML it describes.
template <class R>
std::string recipe_help();
// JSON Schema, draft 2020-12.
template <class R>
Json recipe_schema(const std::string& title);

// The values of all fields marked path_input, path_data, path_output or path_cache that are not "".
struct PathField {
  std::string key;
  std::string path;
  PathKind kind;
};
template <class R>
std::vector<PathField> recipe_paths(const R& recipe);
// Gives each of these fields the value that `change` returns for it.
template <class R>
void change_paths(R& recipe, const std::function<std::string(const PathField&)>& change);

// Any JSON value as block-style YAML, as dump_recipe writes it.
std::string yaml_text(const Json& value);

namespace detail {

// A recipe of any type; only load_… changes the object.
struct AnyRecipe {
  void* object;
  const TypeInfo& type;
};
template <class R>
AnyRecipe any_recipe(const R& recipe) {
  return {const_cast<R*>(&recipe), type_info<R>()};  // visit() is one function for read and write
}

struct LoadOptions {
  const std::vector<std::string>& overrides;
  InputPaths inputs;
};

void load_file(AnyRecipe recipe, const fs::path& file, const LoadOptions& options);
void load_text(AnyRecipe recipe, std::string_view yaml, const std::string& where,
               const LoadOptions& options);
void load_node(AnyRecipe recipe, const RecipeNode& node, const LoadOptions& options);
Json value_json(AnyRecipe value);
std::string dump_text(AnyRecipe recipe);
std::string help_text(AnyRecipe recipe);
Json schema_json(AnyRecipe recipe, const std::string& title);
void visit_paths(AnyRecipe recipe,
                 const std::function<void(const PathField&, std::string& value)>& visit);

}  // namespace detail

template <class R>
R load_recipe(const fs::path& file, const std::vector<std::string>& overrides, InputPaths inputs) {
  R recipe;
  detail::load_file(detail::any_recipe(recipe), file, {overrides, inputs});
  return recipe;
}

template <class R>
R load_recipe(const RecipeNode& node, const std::vector<std::string>& overrides,
              InputPaths inputs) {
  R recipe;
  detail::load_node(detail::any_recipe(recipe), node, {overrides, inputs});
  return recipe;
}

template <class R>
R parse_recipe(std::string_view yaml, const std::string& where,
               const std::vector<std::string>& overrides, InputPaths inputs) {
  R recipe;
  detail::load_text(detail::any_recipe(recipe), yaml, where, {overrides, inputs});
  return recipe;
}

template <class R>
Json recipe_json(const R& recipe) {
  return detail::value_json(detail::any_recipe(recipe));
}

template <class R>
std::string dump_recipe(const R& recipe) {
  return detail::dump_text(detail::any_recipe(recipe));
}

template <class R>
std::string recipe_help() {
  return detail::help_text(detail::any_recipe(R{}));
}

template <class R>
Json recipe_schema(const std::string& title) {
  return detail::schema_json(detail::any_recipe(R{}), title);
}

template <class R>
std::vector<PathField> recipe_paths(const R& recipe) {
  std::vector<PathField> paths;
  detail::visit_paths(detail::any_recipe(recipe),
                      [&](const PathField& field, std::string&) { paths.push_back(field); });
  return paths;
}

template <class R>
void change_paths(R& recipe, const std::function<std::string(const PathField&)>& change) {
  detail::visit_paths(detail::any_recipe(recipe),
                      [&](const PathField& field, std::string& value) { value = change(field); });
}

}  // namespace gradus
