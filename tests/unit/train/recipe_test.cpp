// SPDX-License-Identifier: Apache-2.0
#include "train/recipe.h"

#include "base/error.h"
#include "support/catch.h"

using Catch::Matchers::Contains;

namespace gradus {
namespace {

constexpr const char* kDistill =
    "student: {from: /}\noutput: out\ndata: {sources: [{name: a, path: /}]}\n"
    "batch: {sequences_per_step: 1}\n";

std::string error_of(const std::string& more) {
  try {
    parse_recipe<DistillRecipe>(kDistill + more, "r.yaml");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("keys without an effect are refused") {
  CHECK(error_of("") == "");
  CHECK_THAT(error_of("distillation: {temperature: 2}\n"), Contains("distillation: has no effect"));
  CHECK(error_of("teacher: /\ndistillation: {temperature: 2}\n") == "");
  CHECK_THAT(error_of("schedule: {decay_ratio: 0.5}\n"),
             Contains("schedule.decay_ratio: has no effect"));
  CHECK(error_of("schedule: {kind: wsd, decay_ratio: 0.5}\n") == "");
  CHECK_THAT(error_of("lora: {rank: 4}\n"), Contains("lora: has no effect"));
}

TEST_CASE("a resolved recipe loads again") {
  const auto recipe = parse_recipe<DistillRecipe>(kDistill, "r.yaml");
  const auto again = parse_recipe<DistillRecipe>(dump_recipe(recipe), "dump");
  CHECK(dump_recipe(again) == dump_recipe(recipe));
}

}  // namespace gradus
