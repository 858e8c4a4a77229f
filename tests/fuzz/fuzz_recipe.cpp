// SPDX-License-Identifier: Apache-2.0
// Recipes from outside: any bytes load, or fail with gradus::Error. What loads is dumped and loads
// again to the same recipe. The first line of the input is one override, the rest is the file.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "unit/recipe/sample_recipe.h"

using gradus::InputPaths;
using gradus::sample::Recipe;

namespace {

Recipe load(std::string_view yaml, const std::vector<std::string>& overrides) {
  return gradus::parse_recipe<Recipe>(yaml, "fuzz.yaml", overrides, InputPaths::kMayBeMissing);
}

void require_round_trip(const Recipe& recipe) {
  const std::string dumped = gradus::dump_recipe(recipe);
  if (gradus::recipe_json(load(dumped, {})) != gradus::recipe_json(recipe)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t line = std::min(input.find('\n'), size);
  const std::string_view yaml = input.substr(std::min(line + 1, size));
  Recipe recipe;
  try {
    recipe = load(yaml, {"train.output=x", std::string(input.substr(0, line))});
  } catch (const gradus::Error&) {
    return 0;
  }
  require_round_trip(recipe);  // an error here is a finding
  return 0;
}
