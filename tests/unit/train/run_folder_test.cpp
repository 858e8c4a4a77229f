// SPDX-License-Identifier: Apache-2.0
#include "train/run_folder.h"

#include "base/error.h"
#include "base/temporary_folder.h"
#include "support/catch.h"
#include "train/event_file.h"
#include "train/recipe.h"
#include "train/steps.h"

namespace gradus {
namespace {

ResolvedText resolved(const SftRecipe& recipe) {
  return {recipe_json(recipe), dump_recipe(recipe)};
}

SftRecipe sample() {
  SftRecipe recipe;
  recipe.model = "base";
  recipe.output = "run";
  SourceRecipe& source = recipe.data.sources.emplace_back();
  source.name = "a";
  source.path = "a.jsonl";
  recipe.lora = LoraRecipe{};
  return recipe;
}

}  // namespace

TEST_CASE("a run folder takes the same recipe again and refuses another, naming the keys") {
  const TemporaryFolder folder;
  SftRecipe recipe = sample();
  { const RunFolder first(folder / "run", resolved(recipe)); }
  { const RunFolder again(folder / "run", resolved(recipe)); }
  recipe.checkpoint.every_steps = 7;
  { const RunFolder other_checkpoints(folder / "run", resolved(recipe)); }
  write_file_atomic(folder / "run" / "metrics.jsonl", "{}\n");
  recipe.optimizer.lr = 0.25;
  CHECK_THROWS_WITH(RunFolder(folder / "run", resolved(recipe)),
                    Catch::Contains("optimizer.lr: ") && Catch::Contains("0.25 now"));
}

TEST_CASE("a run that failed before its first step is taken over by another recipe") {
  const TemporaryFolder folder;
  SftRecipe recipe = sample();
  { const RunFolder failed(folder / "run", resolved(recipe)); }
  recipe.optimizer.lr = 0.25;
  { const RunFolder mended(folder / "run", resolved(recipe)); }
  CHECK_THAT(read_file(folder / "run" / "recipe.yaml"), Catch::Contains("0.25"));
}

TEST_CASE("a run folder has one user at a time and is nothing else's folder") {
  const TemporaryFolder folder;
  const RunFolder first(folder / "run", resolved(sample()));
  CHECK_THROWS_WITH(RunFolder(folder / "run", resolved(sample())),
                    Catch::Contains("another gradus process"));
  fs::create_directory(folder / "other");
  write_file_atomic(folder / "other" / "thesis.tex", "…");
  CHECK_THROWS_AS(RunFolder(folder / "other", resolved(sample())), Error);
}

TEST_CASE("a run killed while it wrote its first recipe can be started again") {
  const TemporaryFolder folder;
  write_file_atomic(folder / "run" / ".lock", "999999999");
  write_file_atomic(folder / "run" / "recipe.yaml.tmp-999999999", "model: ba");
  { const RunFolder run(folder / "run", resolved(sample())); }
  CHECK_FALSE(fs::exists(folder / "run" / "recipe.yaml.tmp-999999999"));
  CHECK(fs::exists(folder / "run" / "recipe.yaml"));
}

TEST_CASE("a folder of something else gets no lock") {
  const TemporaryFolder folder;
  write_file_atomic(folder / "other" / "thesis.tex", "…");
  CHECK_THROWS_WITH(RunFolder(folder / "other", resolved(sample())),
                    Catch::Contains("not a run folder"));
  CHECK_FALSE(fs::exists(folder / "other" / ".lock"));
}

TEST_CASE("CRC-32C of the check string") { CHECK(crc32c("123456789") == 0xe3069283u); }

TEST_CASE("an append file is cut back to a known length") {
  const TemporaryFolder folder;
  { AppendFile(folder / "f", 0).append("one\ntwo\n"); }
  {
    AppendFile file(folder / "f", 4);
    file.append("three\n");
    CHECK(file.bytes() == 10);
  }
  CHECK(read_file(folder / "f") == "one\nthree\n");
  CHECK_THROWS_AS(AppendFile(folder / "f", 11), Error);
}

TEST_CASE("ranges of documents") {
  CHECK(range_text({3, 1, 2, 7, 7, 9}) == "1-3, 7, 9");
  CHECK(range_text({}) == "");
}

TEST_CASE("recipes that contradict themselves are refused by key") {
  const auto load = [](const std::string& text) {
    return parse_recipe<PretrainRecipe>(
        "model: m\noutput: o\ndata: {sources: [{name: a, path: p}]}\n"
        "batch: {tokens_per_step: 8}\n" +
            text,
        "r.yaml", {}, InputPaths::kMayBeMissing);
  };
  CHECK_NOTHROW(load(""));
  CHECK_THROWS_WITH(load("lora: {rank: 4}\n"), Catch::Contains("method is not lora"));
  CHECK_THROWS_WITH(load("method: freeze\n"), Catch::Contains("freeze"));
  CHECK_THROWS_WITH(load("evaluation: {best: b}\n"), Catch::Contains("data.evaluation"));
  CHECK_THROWS_WITH(load("schedule: {warmup_steps: 1, warmup_ratio: 0.1}\n"),
                    Catch::Contains("not both"));
}

}  // namespace gradus
