// SPDX-License-Identifier: Apache-2.0
#include "support/catch.h"
#include "unit/recipe/sample_recipe.h"

using namespace gradus;
using namespace gradus::sample;

TEST_CASE("every type of field is loaded") {
  const Recipe recipe = load(R"(
seed: 0x10
shuffle: false
name: 15
clip: null
sources:
  - path: a.txt
  - {path: b.jsonl, share: 1e-1, format: jsonl}
limits: {steps: +5, tokens: 2000}
groups:
  norm: {lr: .5}
task: {labels: [a, 1, 1.5, "2", true, null]}
train:
  optimizer: {lr: 1e-4, schedule: linear}
  lora: {rank: 4}
)");
  CHECK(recipe.seed == 16);
  CHECK_FALSE(recipe.shuffle);
  CHECK(recipe.name == "15");
  CHECK_FALSE(recipe.clip.has_value());
  REQUIRE(recipe.sources.size() == 2);
  CHECK(recipe.sources[0].share == 1.0);
  CHECK(recipe.sources[1].share == 0.1);
  CHECK(recipe.sources[1].format == "jsonl");
  CHECK(recipe.limits == std::map<std::string, int64_t>{{"steps", 5}, {"tokens", 2000}});
  CHECK(recipe.groups.at("norm").lr == 0.5);
  CHECK(recipe.task.dump() == R"({"labels":["a",1,1.5,"2",true,null]})");
  CHECK(recipe.train.optimizer.lr == 1e-4);
  CHECK(recipe.train.optimizer.schedule == Schedule::kLinear);
  REQUIRE(recipe.train.lora.has_value());
  CHECK(recipe.train.lora->rank == 4);
  CHECK(recipe.train.lora->modules.size() == 2);
}

TEST_CASE("an empty struct is a struct of defaults, an empty optional is unset") {
  CHECK(load("train:\n").train.optimizer.lr == 2e-5);
  CHECK_FALSE(load("train:\n  lora:\n").train.lora.has_value());
  CHECK(load("train:\n  lora: {}\n").train.lora.has_value());
}

TEST_CASE("all problems are reported together, with line and column, in the order of the file") {
  CHECK(load_error(R"(seed: many
train:
  optimizer:
    lrr: 1
    lr: -1
    schedule: cosin
    warmup_steps: 1.5
  lora: {rank: 0, alpha: [1]}
shuffle: yes
seed: 3
sources: [{share: 0.5}]
)") == "r.yaml:1:7: seed: wrong type (expected an integer, found 'many')\n"
       "r.yaml:4:5: train.optimizer.lrr: unknown key (did you mean lr?)\n"
       "r.yaml:5:9: train.optimizer.lr: out of range (expected > 0, found -1)\n"
       "r.yaml:6:15: train.optimizer.schedule: unknown value (expected one of cosine, linear, "
       "constant, found 'cosin'); did you mean cosine?\n"
       "r.yaml:7:19: train.optimizer.warmup_steps: wrong type (expected an integer, found '1.5')\n"
       "r.yaml:8:16: train.lora.rank: out of range (expected >= 1 and <= 1024, found 0)\n"
       "r.yaml:8:26: train.lora.alpha: wrong type (expected a number, found a list)\n"
       "r.yaml:9:10: shuffle: wrong type (expected true or false, found 'yes')\n"
       "r.yaml:10:1: seed: duplicate key\n"
       "r.yaml:11:11: sources.0.path: required key is missing");
}

TEST_CASE("a missing key in a struct that is not written is reported") {
  const auto load_plain = [] { parse_recipe<Recipe>("seed: 1\n", "r.yaml"); };
  CHECK(error_of(load_plain) == "r.yaml: train.output: required key is missing");
}

TEST_CASE("a required text may not be empty") {
  const auto load_empty = [] { parse_recipe<Recipe>("train:\n  output: ''\n", "r.yaml"); };
  CHECK(error_of(load_empty) == "r.yaml:2:11: train.output: may not be empty");
}

TEST_CASE("a key that belongs to a struct below is found there") {
  CHECK(load_error("lr: 1\n") == "r.yaml:1:1: lr: unknown key (did you mean train.optimizer.lr?)");
  CHECK(load_error("rank: 1\n") == "r.yaml:1:1: rank: unknown key (did you mean train.lora.rank?)");
}

TEST_CASE("a key that resembles none lists the known ones") {
  CHECK(load_error("train: {lora: {zzzzzzzzz: 1}}\n") ==
        "r.yaml:1:16: train.lora.zzzzzzzzz: unknown key (expected one of rank, alpha, modules)");
}

TEST_CASE("rules across fields point at the key they name") {
  CHECK(load_error("train:\n  optimizer:\n    lr: 1e-4\n    min_lr: 1e-3\n") ==
        "r.yaml:4:13: train.optimizer.min_lr: may not be above lr");
  CHECK(load_error("groups:\n  norm:\n    lr: 1\n    min_lr: 2\n") ==
        "r.yaml:4:13: groups.norm.min_lr: may not be above lr");
  // Written nowhere, so the nearest key around it is shown.
  CHECK(load_error("train:\n  optimizer: {min_lr: 1e-3}\n").starts_with("r.yaml:2:23: "));
}

TEST_CASE("rules across fields wait until the fields are sound") {
  CHECK(load_error("train: {optimizer: {lr: x, min_lr: 1}}\n") ==
        "r.yaml:1:25: train.optimizer.lr: wrong type (expected a number, found 'x')");
}

TEST_CASE("rules hold for each value in a list, map or optional") {
  CHECK(load_error("limits: {a: 1, b: 0}\n") ==
        "r.yaml:1:19: limits.b: out of range (expected >= 1, found 0)");
  CHECK(load_error("clip: 0\n") == "r.yaml:1:7: clip: out of range (expected > 0, found 0)");
  CHECK(load_error("train: {lora: {modules: []}}\n") ==
        "r.yaml:1:16: train.lora.modules: may not be empty");
  CHECK(load_error("sources: [{path: a, format: txt}]\n") ==
        "r.yaml:1:29: sources.0.format: unknown value (expected one of auto, text, jsonl, found "
        "'txt'); did you mean text?");
}

TEST_CASE("numbers say how they are written") {
  CHECK(load_error("seed: 2_000\n") ==
        "r.yaml:1:7: seed: wrong type (expected an integer, found '2_000'); hint: write 2000");
  CHECK(load_error("seed: 1e6\n") ==
        "r.yaml:1:7: seed: wrong type (expected an integer, found '1e6'); hint: write 1000000");
  CHECK(load_error("seed: 9223372036854775808\n").find("an integer of 64 bits") !=
        std::string::npos);
  CHECK(load_error("clip: 1e999\n").find("a number of 64 bits") != std::string::npos);
  CHECK(load_error("clip: .nan\n").find("expected a number, found '.nan'") != std::string::npos);
  CHECK(load_error("clip: .inf\n").find("expected a number, found '.inf'") != std::string::npos);
  CHECK(load_error("seed: '1'\n").find("found the quoted text \"1\"") != std::string::npos);
  CHECK(load_error("task: {n: 99999999999999999999}\n").starts_with("r.yaml:1:11: task.n: number"));
  CHECK(load("seed: -9223372036854775808\n").seed == INT64_MIN);
}

TEST_CASE("input paths must exist unless a pipeline makes them") {
  const std::string yaml = "sources:\n  - path: /nonexistent/a\ntrain: {output: x}\n";
  const auto load_strict = [&](const std::string& text) {
    return error_of([&] { parse_recipe<Recipe>(text, "r.yaml"); });
  };
  CHECK(load_strict(yaml) ==
        "r.yaml:2:11: sources.0.path: no such file or folder '/nonexistent/a'");
  CHECK(load_strict("sources: [{path: 'hf://a/b'}, {path: /}]\ntrain: {output: x}\n") == "");
  CHECK(load_error(yaml) == "");
}

TEST_CASE("keys that start with x- are left for anchors, at the top only") {
  CHECK(load("x-base: &base {lr: 3}\ntrain: {optimizer: *base}\n").train.optimizer.lr == 3);
  CHECK(load_error("train: {x-base: 1}\n").starts_with("r.yaml:1:9: train.x-base: unknown key"));
}

TEST_CASE("a recipe inside a recipe is loaded later and keeps its lines") {
  const Recipe outer = load("seed: 2\nnext:\n  lr: 5\n  min_lr: 7\n  warmup_step: 1\n");
  CHECK(outer.next.key() == "next");
  CHECK(outer.next.where() == "r.yaml:3:3");
  CHECK(outer.next.json().dump() == R"({"lr":5,"min_lr":7,"warmup_step":1})");
  CHECK(error_of([&] { load_recipe<Optimizer>(outer.next, {"lr=x"}); }) ==
        "r.yaml:5:3: next.warmup_step: unknown key (did you mean warmup_steps?)\n"
        "override 'lr=x': next.lr: wrong type (expected a number, found 'x')");
  const Recipe good = load("next: {lr: 5, min_lr: 7}\n");
  CHECK(error_of([&] { load_recipe<Optimizer>(good.next); }) ==
        "r.yaml:1:23: next.min_lr: may not be above lr");
  CHECK(load_recipe<Optimizer>(good.next, {"lr=8"}).lr == 8);
  CHECK(load_recipe<Optimizer>(RecipeNode()).lr == 2e-5);
}

TEST_CASE("a recipe needs no file") {
  const auto recipe = load_recipe<Recipe>(fs::path(), {"train.output=x", "seed=4"});
  CHECK(recipe.seed == 4);
  CHECK(error_of([] { load_recipe<Recipe>(fs::path(), {"seed=4"}); }) ==
        "train.output: required key is missing");
}

TEST_CASE("a file that cannot be read is one line") {
  CHECK(error_of([] { load_recipe<Recipe>(fs::path("/nonexistent.yaml")); }) ==
        "/nonexistent.yaml: no such file");
  CHECK(error_of([] { load_recipe<Recipe>(fs::path("/")); }) ==
        "/: is a folder (expected a recipe file)");
}

TEST_CASE("very many problems are cut") {
  std::string yaml;
  for (int i = 0; i < 5000; ++i) yaml += cat("zz", i, ": 1\n");
  const std::string error = load_error(yaml);
  CHECK(error.size() < 20'000);
  CHECK(error.ends_with("… and 4950 more problems"));
}

TEST_CASE("a rule that does not fit its field is our own fault") {
  struct Wrong {
    bool flag = false;
    void visit(FieldVisitor& v) { v("flag", flag, "a flag", rule::positive); }
  };
  CHECK_THROWS_AS(parse_recipe<Wrong>("{}", "r.yaml"), std::logic_error);
}
