// SPDX-License-Identifier: Apache-2.0
#include "support/catch.h"
#include "unit/recipe/sample_recipe.h"

using namespace gradus;
using namespace gradus::sample;

namespace {

Recipe full_recipe() {
  return load(R"(
seed: -3
name: "12"
clip: null
sources: [{path: a, share: 0.3}, {path: "b c", format: text}]
limits: {"1": 5, "a: b": 6}
groups: {norm: {lr: 0.1}}
task:
  empty: {list: [], map: {}}
  nested: [[1, [2]], [], {a: [{b: c}]}]
  text: ["", " a", "yes", "~", "1e5", "é", "a\nb", "\"q\"", "#c", "- x", "k: v", "\u0007", "C:\\d"]
  numbers: [1, 1.0, 1e300, -0.1]
next: {kind: x}
train: {lora: {rank: 2}}
)");
}

}  // namespace

TEST_CASE("a dumped recipe loads back to the same recipe") {
  const Recipe recipe = full_recipe();
  const std::string dumped = dump_recipe(recipe);
  INFO(dumped);
  const auto again = parse_recipe<Recipe>(dumped, "dump", {}, InputPaths::kMayBeMissing);
  CHECK(recipe_json(again).dump() == recipe_json(recipe).dump());
  CHECK(dump_recipe(again) == dumped);
  CHECK(again.sources[0].share == 0.3);
}

TEST_CASE("the dump is block style with quotes only where needed") {
  CHECK(dump_recipe(load("sources: [{path: a}]\ntrain: {lora: {}}\n")) == R"(seed: 1
shuffle: true
name: ""
clip: 1.0
sources:
  - path: a
    share: 1.0
    format: auto
limits: {}
groups: {}
task: null
next: {}
train:
  output: runs/x
  optimizer:
    lr: 2.0e-05
    min_lr: 0.0
    warmup_steps: 0
    schedule: cosine
  lora:
    rank: 8
    alpha: 16.0
    modules:
      - q_proj
      - v_proj
)");
}

TEST_CASE("every text survives the dump") {
  Recipe recipe = load("");
  for (int c = 1; c < 128; ++c) {
    for (const std::string& text :
         {std::string(1, static_cast<char>(c)), cat("a", static_cast<char>(c), "b"),
          cat(static_cast<char>(c), " x "), cat("x ", static_cast<char>(c))}) {
      recipe.name = text;
      const auto again = parse_recipe<Recipe>(dump_recipe(recipe), "dump");
      CHECK(again.name == text);
    }
  }
}

TEST_CASE("what other readers of YAML refuse is escaped") {
  Recipe recipe = load("");
  recipe.name = "\x7f \u0080 \u0085 \u009f \u00a0 \u2028 \u2029 \ufeff \uffff \U0001f642";
  const std::string dumped = dump_recipe(recipe);
  CHECK(dumped.find(R"("\u007f \u0080 \u0085 \u009f)") != std::string::npos);
  CHECK(dumped.find(R"(\u2028 \u2029 \ufeff \uffff)") != std::string::npos);
  CHECK(parse_recipe<Recipe>(dumped, "dump").name == recipe.name);
}

TEST_CASE("very long keys survive the dump") {
  Recipe recipe = load("");
  recipe.limits[std::string(2000, 'k')] = 3;
  recipe.task = {{std::string(1500, '"'), {{"a", 1}}}};
  const auto again = parse_recipe<Recipe>(dump_recipe(recipe), "dump");
  CHECK(recipe_json(again).dump() == recipe_json(recipe).dump());
}

TEST_CASE("paths are listed with key and kind") {
  const auto paths = recipe_paths(load("sources: [{path: a}, {path: b}]\n"));
  REQUIRE(paths.size() == 3);
  CHECK(paths[0].key == "sources.0.path");
  CHECK(paths[1].path == "b");
  CHECK(paths[1].kind == PathKind::kInput);
  CHECK(paths[2].key == "train.output");
  CHECK(paths[2].path == "runs/x");
  CHECK(paths[2].kind == PathKind::kOutput);
}
