// SPDX-License-Identifier: Apache-2.0
#include <sstream>

#include "support/catch.h"
#include "unit/recipe/sample_recipe.h"

using namespace gradus;
using namespace gradus::sample;

TEST_CASE("help shows every key with type, default, rules and help") {
  CHECK(recipe_help<Recipe>() ==
        R"(  seed              integer = 1        seed of every random choice
  shuffle           true|false = true  whether documents are shuffled
  name              text               shown in reports
  clip              number = 1.0       largest gradient norm [> 0]
  sources           list of map        where the text comes from
    - path          text, required     file of documents [existing path]
      share         number = 1.0       share of the tokens [> 0 and <= 1]
      format        text = auto        shape of a line [auto|text|jsonl]
  limits            map to integer     largest count by name [>= 1]
  groups            map to map         optimizer settings of some parameters, by a pattern of their
                                       names
    NAME:
      lr            number = 2e-05     peak learning rate [> 0]
      min_lr        number = 0.0       learning rate at the end [>= 0]
      warmup_steps  integer = 0        optimizer steps of linear warm-up [steps, >= 0]
      schedule      choice = cosine    how the learning rate falls after the warm-up
                                       [cosine|linear|constant]
  task              any value          settings of the task
  next              recipe             a recipe that is loaded later
  train:                               training
    output          text, required     run folder [output path]
    optimizer:                         the optimizer
      lr            number = 2e-05     peak learning rate [> 0]
      min_lr        number = 0.0       learning rate at the end [>= 0]
      warmup_steps  integer = 0        optimizer steps of linear warm-up [steps, >= 0]
      schedule      choice = cosine    how the learning rate falls after the warm-up
                                       [cosine|linear|constant]
    lora            map, optional      low-rank adapters; without it every weight is trained
      rank          integer = 8        inner dimension [>= 1 and <= 1024]
      alpha         number = 16.0      scale: alpha / rank [> 0]
      modules       list of text = ["q_proj","v_proj"]
                                       linear layers that get an adapter [not empty]
)");
}

TEST_CASE("whole bounds are written as integers") {
  struct Bounded {
    int64_t size = 2;
    void visit(FieldVisitor& v) { v("size", size, "a size", rule::in_range(2, 1 << 24)); }
  };
  CHECK_THAT(recipe_help<Bounded>(), Catch::Contains(">= 2 and <= 16777216"));
}

TEST_CASE("help lines stay within 100 columns") {
  struct Long {
    std::string text = "a default that is far too long to be shown in the column of defaults";
    void visit(FieldVisitor& v) {
      v("a_key_that_is_much_longer_than_the_column_of_keys", text,
        "help that goes on and on, so that it must be broken into several lines, each of which "
        "starts at the same column as the first one of them");
    }
  };
  std::istringstream lines(recipe_help<Long>());
  size_t count = 0;
  for (std::string line; std::getline(lines, line); ++count) CHECK(line.size() <= 100);
  CHECK(count >= 3);
}

TEST_CASE("the schema describes types, rules and defaults") {
  const Json schema = recipe_schema<Recipe>("sample");
  CHECK(schema["$schema"] == "https://json-schema.org/draft/2020-12/schema");
  CHECK(schema["title"] == "sample");
  CHECK(schema["additionalProperties"] == false);
  CHECK(schema["required"].dump() == R"(["train"])");
  const Json& keys = schema["properties"];
  CHECK(keys["seed"].dump() ==
        R"({"type":"integer","description":"seed of every random choice","default":1})");
  CHECK(keys["clip"].dump() ==
        R"({"anyOf":[{"type":"number","exclusiveMinimum":0},{"type":"null"}],)"
        R"("description":"largest gradient norm","default":1.0})");
  CHECK(keys["sources"]["items"]["required"].dump() == R"(["path"])");
  CHECK(keys["sources"]["items"]["properties"]["format"]["enum"].dump() ==
        R"(["auto","text","jsonl"])");
  CHECK(keys["limits"]["additionalProperties"].dump() == R"({"type":"integer","minimum":1})");
  const Json& optimizer = keys["train"]["properties"]["optimizer"]["properties"];
  CHECK(optimizer["schedule"]["enum"].dump() == R"(["cosine","linear","constant"])");
  CHECK(optimizer["schedule"]["default"] == "cosine");
  CHECK(optimizer["warmup_steps"]["description"] == "optimizer steps of linear warm-up [steps]");
}
