// SPDX-License-Identifier: Apache-2.0
#include "pipeline/graph.h"

#include "base/error.h"
#include "fake_commands.h"
#include "support/catch.h"

using namespace gradus;
using namespace gradus::test;
using Catch::Matchers::Contains;

namespace {

std::string refusal(FakeWorld& world, const std::string& yaml,
                    const std::vector<std::string>& overrides = {}) {
  world.write_recipe(yaml);
  try {
    world.pipeline(overrides);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::string order(const Pipeline& pipeline) {
  std::string text;
  for (const Stage& stage : pipeline.stages) text += stage.name + " ";
  return text;
}

const std::string kHead = "out: ROOT/out\nstages:\n";

}  // namespace

TEST_CASE("stages are ordered by what they read") {
  const Pipeline pipeline = FakeWorld().pipeline();
  CHECK(order(pipeline) == "l1 l2 report ");
  CHECK(pipeline.stages[2].needs == std::vector<size_t>{1});
  CHECK(pipeline.depends(2, 0));
  CHECK_FALSE(pipeline.depends(0, 2));
}

TEST_CASE("needs order stages that no path connects") {
  FakeWorld world;
  world.write_recipe(kHead + R"(
  - {name: a, command: copy, recipe: {out: "${out}/a"}, needs: [b]}
  - {name: b, command: copy, recipe: {out: "${out}/b"}})");
  const Pipeline pipeline = world.pipeline();
  CHECK(order(pipeline) == "b a ");
  CHECK(pipeline.stages[1].needs_by_name == std::vector<size_t>{0});
}

TEST_CASE("everything wrong with a graph is said at once") {
  FakeWorld world;
  const std::string text = refusal(world, kHead + R"(
  - {name: a, command: copi, recipe: {out: "${out}/a"}}
  - name: b
    command: train
    recipe: {data: x, out: "${out}/b", train: {stepz: 3}})");
  CHECK_THAT(text, Contains("stage 'a'") && Contains("did you mean copy"));
  CHECK_THAT(text, Contains("pipeline.yaml:7:") && Contains("stages.1.recipe.train.stepz") &&
                       Contains("did you mean steps"));
}

TEST_CASE("a cycle is named") {
  FakeWorld world;
  const std::string text = refusal(world, kHead + R"(
  - {name: first, command: copy, recipe: {out: "${out}/0"}}
  - {name: a, command: copy, recipe: {input: "${out}/c", out: "${out}/a"}}
  - {name: b, command: copy, recipe: {input: "${out}/a", out: "${out}/b"}}
  - {name: c, command: copy, recipe: {input: "${out}/b", out: "${out}/c"}, needs: [first]})");
  CHECK_THAT(text, Contains("circle") && Contains("a → b → c → a"));
}

TEST_CASE("unknown needs, lost inputs and shared outputs are refused together") {
  FakeWorld world;
  const std::string text = refusal(world, kHead + R"(
  - {name: train, command: copy, recipe: {out: "${out}/a"}, needs: [tain2]}
  - {name: train2, command: copy, recipe: {input: "${out}/nothing", out: "${out}/a/b"}}
  - {name: own, command: copy, recipe: {input: "${out}/o/x", out: "${out}/o"}})");
  CHECK_THAT(text, Contains("needs an unknown stage") && Contains("did you mean train2"));
  CHECK_THAT(text, Contains("no stage makes it"));
  CHECK_THAT(text, Contains("writes to the same place as stage 'train': out"));
  CHECK_THAT(text, Contains("reads what the stage itself writes"));
}

TEST_CASE("a stage may not write over the pipeline's own folder") {
  FakeWorld world;
  for (const std::string path : {"${out}", "${out}/stages/x", "/", "."}) {
    CHECK_THAT(
        refusal(world, kHead + "  - {name: a, command: copy, recipe: {out: \"" + path + "\"}}"),
        Contains("would replace the pipeline's own folder"));
  }
}

TEST_CASE("stage names are unique and fit to be folders") {
  FakeWorld world;
  CHECK_THAT(refusal(world, kHead + "  - {name: ../x, command: copy, recipe: {out: a}}"),
             Contains("is not a name"));
  CHECK_THAT(refusal(world, kHead + "  - {name: 7, command: copy, recipe: {out: a}}"),
             Contains("is not a name"));
  CHECK_THAT(refusal(world, kHead + R"(
  - {name: a, command: copy, recipe: {out: "${out}/1"}}
  - {name: a, command: copy, recipe: {out: "${out}/2"}})"),
             Contains("another stage has this name"));
}

TEST_CASE("variables are replaced strictly") {
  FakeWorld world;
  world.write_recipe(R"(
out: ROOT/out
vars: {base: "${out}/x", deep: "${base}/y", steps: 12}
stages:
  - name: a
    command: train
    recipe: {data: ROOT/data.txt, out: "${deep}", train: {steps: "${steps}0 steps", note: "$${keep}"}})");
  CHECK_THROWS_WITH(world.pipeline(), Contains("wrong type") && Contains("steps"));
  CHECK_THAT(refusal(world, kHead + R"(
  - {name: a, command: copy, recipe: {text: "${oot}", out: "${out/a"}})"),
             Contains("unknown variable ${oot} (did you mean out?)") && Contains("without '}'") &&
                 Contains("pipeline.yaml:4:"));
}

TEST_CASE("a variable alone in quotes is a number where a number is asked for") {
  FakeWorld world;
  world.write_recipe(R"(
out: ROOT/out
vars: {steps: 12}
stages:
  - name: a
    command: train
    recipe: {data: ROOT/data.txt, out: "${out}/a", train: {steps: "${steps}"}})");
  CHECK(world.pipeline().stages[0].recipe.values.at("train").at("steps") == 12);
}

TEST_CASE("a variable is a number where a number is asked for") {
  FakeWorld world;
  world.write_recipe(R"(
out: ROOT/out
vars: {steps: 12}
stages:
  - name: a
    command: train
    recipe:
      data: ROOT/data.txt
      out: ${out}/a
      train:
        steps: ${steps}
        note: "$${keep}")");
  const Pipeline pipeline = world.pipeline({"vars.steps=14"});
  CHECK(pipeline.stages[0].recipe.values.at("train").at("steps") == 14);
  CHECK(pipeline.stages[0].recipe.values.at("train").at("note") == "${keep}");
}

TEST_CASE("overrides address stages by name") {
  const FakeWorld world;
  const Pipeline pipeline = world.pipeline({"stages.l1.recipe.train.steps=10"});
  CHECK(pipeline.stages[0].recipe.values.at("train").at("steps") == 10);
  CHECK(pipeline.stages[1].recipe.values.at("train").at("steps") == 2);
  CHECK_THROWS_WITH(world.pipeline({"stages.l3.recipe.train.steps=1"}), Contains("unknown stage"));
}

TEST_CASE("a recipe file is used with overrides on top") {
  FakeWorld world;
  write_file_atomic(world / "train.yaml",
                    "data: here\ntrain:\n  steps: 5\n  note: from the file\n");
  world.write_recipe(kHead + R"(
  - name: a
    command: train
    recipe_file: ROOT/train.yaml
    overrides: {data: ROOT/data.txt, out: "${out}/a", train.steps: 6})");
  const Json six = world.pipeline().stages[0].recipe.values;
  CHECK(six.at("train").at("steps") == 6);
  CHECK(six.at("train").at("note") == "from the file");
  const Json seven = world.pipeline({"stages.a.recipe.train.steps=7"}).stages[0].recipe.values;
  CHECK(seven.at("train").at("note") == "from the file");
  CHECK_THROWS_WITH(world.pipeline({"stages.a.overrides={data: x}"}),
                    Contains("train.yaml") || Contains("required"));
}

TEST_CASE(
    "an override of a variable that the file does not have is refused with the nearest name") {
  FakeWorld world;
  const std::string yaml =
      "out: ROOT/out\nvars: {steps: 12}\nstages:\n"
      "  - {name: a, command: copy, recipe: {text: \"${steps}\", out: \"${out}/a\"}}\n";
  CHECK_THAT(refusal(world, yaml, {"vars.step=3"}),
             Contains("unknown variable") && Contains("did you mean steps?"));
  CHECK_THAT(refusal(world, yaml, {"vars={steps: 1, budget: full}"}), Contains("vars.budget"));
  CHECK(refusal(world, yaml, {"vars.steps=3"}) == "no error");
}
