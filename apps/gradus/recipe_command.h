// SPDX-License-Identifier: Apache-2.0
// What commands with a recipe share: loading it from `recipe.yaml key=value …`, and the flags that
// only look at it.
#pragma once

#include <iostream>
#include <optional>
#include <string>

#include "base/error.h"
#include "command.h"
#include "recipe/recipe.h"

namespace gradus {

// The recipe; nothing when --schema or --print-config was answered instead, which needs none of the
// files that the recipe names. Without a file the whole recipe comes from overrides.
template <class R>
std::optional<R> recipe_or_answer(const CommandLine& line, const std::string& command) {
  if (line.has("--schema")) {
    std::cout << recipe_schema<R>("gradus " + command).dump(2) << "\n";
    return std::nullopt;
  }
  const auto& files = line.positional();
  if (files.size() > 1) throw UsageError("expected one recipe, found " + printable(files[1]));
  if (files.empty() && line.overrides().empty())
    throw UsageError("expected a recipe", "gradus " + command + " --help shows its keys");
  const bool print = line.has("--print-config");
  const InputPaths inputs = print ? InputPaths::kMayBeMissing : InputPaths::kMustExist;
  const R recipe = files.empty() ? parse_recipe<R>("", "the command line", line.overrides(), inputs)
                                 : load_recipe<R>(files[0], line.overrides(), inputs);
  if (!print) return recipe;
  std::cout << dump_recipe(recipe);
  return std::nullopt;
}

template <class R>
std::string recipe_details() {
  return "Recipe (key.sub=value on the command line overrides a key):\n" + recipe_help<R>();
}

}  // namespace gradus
