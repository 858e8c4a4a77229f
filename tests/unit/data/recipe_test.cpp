// SPDX-License-Identifier: Apache-2.0
#include "recipe/recipe.h"

#include "data/recipe.h"
#include "support/catch.h"
#include "toy.h"

namespace gradus {

TEST_CASE("a data recipe loads from YAML, with defaults") {
  const auto recipe = parse_recipe<DataRecipe>(
      "sources:\n"
      "  - {name: a, path: /, share: 70, licence: MIT}\n"
      "  - {name: b, path: /, share: 30, format: csv, shape: alpaca, on_overflow: drop}\n"
      "context_length: 512\n",
      "r.yaml");
  REQUIRE(recipe.sources.size() == 2);
  CHECK(recipe.sources[1].shape == RowShape::kAlpaca);
  CHECK(recipe.sources[1].on_overflow == OverflowPolicy::kDrop);
  CHECK(recipe.sources[0].share == 70.0);
  CHECK(recipe.context_length == 512);
  CHECK(recipe.on_overflow == OverflowPolicy::kError);
  const auto again = parse_recipe<DataRecipe>(dump_recipe(recipe), "dump");
  CHECK(recipe_json(again) == recipe_json(recipe));
}

TEST_CASE("contradictions in data recipes are named") {
  const auto error = [](const char* yaml) {
    return error_of([&] { parse_recipe<DataRecipe>(yaml, "r.yaml"); });
  };
  CHECK(contains(error("sources: [{name: a, path: /, share: 1}, {name: b, path: /}]"),
                 "either all sources have a share, or none"));
  CHECK(contains(error("sources: [{name: a, path: /}, {name: a, path: /}]"), "is used twice"));
  CHECK(contains(error("sources: [{name: a, path: /}]\nevaluation: [{name: b, path: /, share: 1}]"),
                 "evaluation.0.share: held-out sets are not mixed"));
  CHECK(contains(error("sources: [{name: a, path: /no/such/file}]"), "/no/such/file"));
  const auto batch_error = [](const char* yaml) {
    return error_of([&] { parse_recipe<BatchRecipe>(yaml, "r.yaml"); });
  };
  CHECK(
      contains(batch_error("epochs: 1"), "exactly one of tokens_per_step and sequences_per_step"));
  CHECK(contains(batch_error("{sequences_per_step: 1, steps: 1, tokens: 5}"), "at most one of"));
  CHECK(batch_error("{tokens_per_step: 1, steps: 1}").empty());
}

}  // namespace gradus
