// SPDX-License-Identifier: Apache-2.0
#include "support/catch.h"
#include "unit/recipe/sample_recipe.h"

using namespace gradus;
using namespace gradus::sample;

TEST_CASE("overrides replace, create and unset") {
  CHECK(load("seed: 3\n", {"seed=4"}).seed == 4);
  CHECK(load("", {"seed=4", "seed=5"}).seed == 5);
  CHECK(load("", {"train.optimizer.lr=1e-3"}).train.optimizer.lr == 1e-3);
  CHECK(load("train:\n", {"train.lora.rank=2"}).train.lora->rank == 2);
  CHECK(load("train: {lora: {rank: 2, alpha: 3}}", {"train.lora={rank: 5}"}).train.lora->alpha ==
        16);
  CHECK_FALSE(load("train: {lora: {rank: 2}}\n", {"train.lora="}).train.lora.has_value());
  CHECK_FALSE(load("", {"clip=null"}).clip.has_value());
  CHECK(load("name: x\n", {"name=''"}).name.empty());
  CHECK(load("", {"name=a=b"}).name == "a=b");
  CHECK(load("", {"limits={a.b: 2}"}).limits.at("a.b") == 2);
  CHECK(load("task: {k: 2}\n", {"task.p.q=[1, x]"}).task.dump() == R"({"k":2,"p":{"q":[1,"x"]}})");
}

TEST_CASE("overrides reach into lists") {
  const std::string yaml = "sources: [{path: a}, {path: b}]\n";
  CHECK(load(yaml, {"sources.1.path=c"}).sources[1].path == "c");
  const Recipe longer = load(yaml, {"sources+={path: c}", "sources.2.share=0.5"});
  REQUIRE(longer.sources.size() == 3);
  CHECK(longer.sources[2].path == "c");
  CHECK(longer.sources[2].share == 0.5);
  CHECK(load("", {"sources+={path: c}"}).sources.size() == 1);
  CHECK(load_error(yaml, {"sources.2.path=c"}) ==
        "override 'sources.2.path=c': sources.2.path: there is no item 2: the list has 2 (counted "
        "from 0; '+=' appends)");
  CHECK(
      load_error(yaml, {"sources.x.path=c"}).ends_with("'x' should be the number of a list item"));
  CHECK(load_error("seed: 1\n", {"seed+=2"}).ends_with("seed: '+=' appends to a list, found '1'"));
}

TEST_CASE("an override of shared nodes changes one use only") {
  const Recipe recipe = load("groups: {a: &a {lr: 1}, b: *a}\n", {"groups.b.lr=2"});
  CHECK(recipe.groups.at("a").lr == 1);
  CHECK(recipe.groups.at("b").lr == 2);
}

TEST_CASE("a bad override is named, together with the problems of the file") {
  CHECK(load_error("sed: 1\n", {"seed", "train.lr=1", "seed=x", "=1", "a..b=1", "train.output.x=1",
                                "name=@"}) ==
        "r.yaml:1:1: sed: unknown key (did you mean seed?)\n"
        "override 'seed': expected key=value or key.sub=value\n"
        "override '=1': expected key=value or key.sub=value\n"
        "override 'a..b=1': expected key=value or key.sub=value\n"
        "override 'train.output.x=1': train.output.x: 'x' is below 'runs/x', which is not a map\n"
        "override 'name=@': not YAML: unknown token; hint: quote text that starts with @ or `\n"
        "override 'train.lr=1': train.lr: unknown key (did you mean train.optimizer.lr?)\n"
        "override 'seed=x': seed: wrong type (expected an integer, found 'x')");
}

TEST_CASE("overrides are checked although the file cannot be parsed") {
  CHECK(load_error("a: [1\n", {"b"}).find("override 'b': expected key=value") != std::string::npos);
}

TEST_CASE("an override is text") {
  CHECK(load_error("", {"task.\xff=1"}).ends_with("not allowed (expected UTF-8 text)"));
  CHECK(load_error("", {std::string("task.a\0=1", 9)}).ends_with("(expected UTF-8 text)"));
}

TEST_CASE("an override that breaks a rule is named") {
  CHECK(load_error("clip: 3\n", {"clip=-1"}) ==
        "override 'clip=-1': clip: out of range (expected > 0, found -1)");
  CHECK(load_error("train: {optimizer: {min_lr: 1}}\n", {"train.optimizer.lr=0.5"}) ==
        "r.yaml:1:29: train.optimizer.min_lr: may not be above lr");
  CHECK(load_error("", {"sources+={share: 1}"}) ==
        "override 'sources+={share: 1}': sources.0.path: required key is missing");
}
