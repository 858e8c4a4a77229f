// SPDX-License-Identifier: Apache-2.0
// What commands with a recipe share: loading it from `recipe.yaml key=value …`, and the flags that
// only look at it.
#pragma once

#include <iostream>
#include <optional>
#include <string>

#include "base/error.h"
#include "command.h"
#include "hub/hub.h"
#include "recipe/recipe.h"

namespace gradus {

template <class R>
bool schema_answered(const CommandLine& line, const std::string& command) {
  if (line.has("--schema")) std::cout << recipe_schema<R>("gradus " + command).dump(2) << "\n";
  return line.has("--schema");
}

// An output that a command never overwrites.
inline void refuse_existing(const fs::path& out) {
  if (!fs::exists(out)) return;
  throw Error({.what = "already exists and is not overwritten",
               .where = out.string(),
               .hint = "choose another out or remove it first"});
}

// The answer of --check when nothing is wrong.
inline int answer_checked(const CommandLine& line) {
  if (!print_json_if_asked(line, Json{{"check", "ok"}})) std::cout << "ok\n";
  return kExitOk;
}

// Whether a missing input is an error already: --print-config needs no file.
inline InputPaths inputs_of(const CommandLine& line) {
  return line.has("--print-config") ? InputPaths::kMayBeMissing : InputPaths::kMustExist;
}

// Inputs on a hub become local paths; what the cache lacks is fetched.
template <class R>
R with_local_inputs(R recipe) {
  change_paths(recipe, [](const PathField& field) {
    if (field.kind == PathKind::kInput) return resolve_model(field.path).string();
    if (field.kind == PathKind::kData) return resolve_data(field.path).string();
    return field.path;
  });
  return recipe;
}

// As a run records it: an input from a hub by its name there, hf://owner/name@COMMIT.
template <class R>
R as_recorded(R recipe) {
  change_paths(recipe, [](const PathField& field) { return recorded_path(field.path); });
  return recipe;
}

// `recipe` with local inputs, or nothing when --print-config was answered.
template <class R>
std::optional<R> unless_printed(const CommandLine& line, const R& recipe) {
  if (!line.has("--print-config")) return with_local_inputs(recipe);
  std::cout << dump_recipe(recipe);
  return std::nullopt;
}

// The recipe; nothing when --schema or --print-config was answered instead, which needs none of the
// files that the recipe names. Without a file the whole recipe comes from overrides.
template <class R>
std::optional<R> recipe_or_answer(const CommandLine& line, const std::string& command) {
  if (schema_answered<R>(line, command)) return std::nullopt;
  const auto& files = line.positional();
  if (files.size() > 1) throw UsageError("expected one recipe, found " + printable(files[1]));
  if (files.empty() && line.overrides().empty())
    throw UsageError("expected a recipe", "gradus " + command + " --help shows its keys");
  const auto& overrides = line.overrides();
  return unless_printed(
      line, files.empty() ? parse_recipe<R>("", "the command line", overrides, inputs_of(line))
                          : load_recipe<R>(files[0], overrides, inputs_of(line)));
}

template <class R>
std::string recipe_details() {
  return "Recipe (key.sub=value on the command line overrides a key):\n" + recipe_help<R>();
}

}  // namespace gradus
