// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/temporary_folder.h"
#include "eval/compare.h"
#include "eval/speed.h"
#include "support/catch.h"
#include "support/tiny_model.h"

using namespace gradus;

namespace {

Json results_with(double acc, double difference, double low, double high) {
  const Json value{{"value", acc}, {"low", 0.1}, {"high", 0.9}, {"higher_is_better", true}};
  return {{"format", "gradus-eval/1"},
          {"model", {{"weight_bytes", 100}, {"parameters", 50}}},
          {"settings", {{"confidence", 0.95}}},
          {"tasks",
           {{"route", {{"kind", "multiple_choice"}, {"rows", 10}, {"metrics", {{"acc", value}}}}}}},
          {"comparisons",
           {{"l0",
             {{"tasks",
               {{"route",
                 {{"acc",
                   {{"value", acc},
                    {"baseline", acc - difference},
                    {"difference", difference},
                    {"low", low},
                    {"high", high},
                    {"higher_is_better", true}}}}}}}}}}}};
}

GateOutcome judge(const GateRecipe& gate, const Json& results) {
  EvalRecipe recipe;
  recipe.gates = {gate};
  return judge_gates(recipe, results, {{"decode_tokens_per_second", 20.0}}).front();
}

}  // namespace

TEST_CASE("bounds include their value, and nothing that is not a number passes") {
  const Json results = results_with(0.6, 0, 0, 0);
  CHECK(judge({.name = "", .metric = "route.acc", .minimum = 0.6}, results).passed);
  CHECK_FALSE(judge({.name = "", .metric = "route.acc", .minimum = 0.61}, results).passed);
  CHECK(judge({.name = "", .metric = "model.weight_bytes", .maximum = 100}, results).passed);
  CHECK_FALSE(
      judge({.name = "", .metric = "performance.decode_tokens_per_second", .maximum = 19}, results)
          .passed);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Json broken = results_with(nan, 0, 0, 0);
  CHECK_FALSE(judge({.name = "", .metric = "route.acc", .minimum = 0}, broken).passed);
  CHECK_FALSE(judge({.name = "", .metric = "route.acc", .maximum = 1}, broken).passed);
}

TEST_CASE("no worse than a baseline, by a margin or within the interval") {
  const Json worse = results_with(0.6, -0.05, -0.12, 0.02);
  GateRecipe gate{.name = "", .metric = "route.acc"};
  gate.no_worse_than = NoWorseRecipe{.baseline = "l0"};
  CHECK_FALSE(judge(gate, worse).passed);
  gate.no_worse_than->by = 0.05;
  CHECK(judge(gate, worse).passed);
  gate.no_worse_than->by = 0;
  gate.no_worse_than->by_ratio = 0.1;  // of 0.65
  CHECK(judge(gate, worse).passed);
  gate.no_worse_than->by_ratio = 0;
  gate.no_worse_than->within_interval = true;
  CHECK(judge(gate, worse).passed);
  CHECK_FALSE(judge(gate, results_with(0.6, -0.05, -0.09, -0.01)).passed);
}

TEST_CASE("better than a baseline is strict") {
  GateRecipe gate{.name = "", .metric = "route.acc"};
  gate.better_than = BetterRecipe{.baseline = "l0"};
  CHECK_FALSE(judge(gate, results_with(0.6, 0, 0, 0)).passed);
  CHECK_FALSE(judge(gate, results_with(0.6, -0.05, -0.12, 0.02)).passed);
  Json better = results_with(0.6, 0.1, 0.05, 0.15);
  const GateOutcome outcome = judge(gate, better);
  CHECK(outcome.passed);
  CHECK(outcome.rule == "better_than");
  CHECK(outcome.bound == 0.5);
  gate.better_than->by = 0.2;
  CHECK_FALSE(judge(gate, better).passed);
  gate.better_than->by = 0;
  gate.better_than->by_ratio = 0.15;  // of 0.5
  CHECK(judge(gate, better).passed);
  better["comparisons"]["l0"]["tasks"]["route"]["acc"]["higher_is_better"] = false;
  CHECK_FALSE(judge(gate, better).passed);
  better["comparisons"]["l0"]["tasks"]["route"]["acc"]["difference"] = std::nan("");
  CHECK_FALSE(judge(gate, better).passed);
}

TEST_CASE("gates that cannot be judged are found before the evaluation") {
  EvalRecipe recipe;
  recipe.tasks.resize(2);
  recipe.tasks[0].name = "route";
  recipe.tasks[0].multiple_choice = MultipleChoiceRecipe{};
  recipe.tasks[1].name = "text";
  recipe.tasks[1].perplexity = PerplexityRecipe{};
  const auto check = [&](const std::string& metric) {
    recipe.gates = {{.name = "", .metric = metric, .minimum = 0}};
    check_gates(recipe);
  };
  CHECK_NOTHROW(check("route.acc"));
  CHECK_NOTHROW(check("model.weight_bytes"));
  CHECK_THROWS_WITH(check("model.weight_byte"), Catch::Contains("did you mean weight_bytes"));
  CHECK_THROWS_WITH(check("rout.acc"), Catch::Contains("did you mean route"));
  CHECK_THROWS_WITH(check("text.acc"), Catch::Contains("no such metric"));
  CHECK_THROWS_WITH(check("route.macro_f1"), Catch::Contains("labels"));
  recipe.tasks[0].multiple_choice->labels = {"a", "b"};
  CHECK_NOTHROW(check("route.macro_f1"));
  const Transformer model = tiny_model();
  const Json speed = measure_speed(model, {.prompt_tokens = 4, .new_tokens = 2, .repeats = 1});
  for (const auto& [name, value] : speed.items()) CHECK_NOTHROW(check("performance." + name));
  CHECK_NOTHROW(check("performance.peak_memory_bytes"));
  CHECK_THROWS_WITH(check("performance.decode_token_per_second"), Catch::Contains("did you mean"));
  recipe.speed.reset();
  CHECK_NOTHROW(check("performance.load_seconds"));
  CHECK_THROWS_WITH(check("performance.peak_memory_bytes"), Catch::Contains("no such number"));
}

TEST_CASE("baselines that cannot be compared with are found before the evaluation") {
  const TemporaryFolder folder;
  Json results = results_with(0.5, 0, 0, 0);
  write_json(folder / "results.json", results);
  const auto write_samples = [&](const std::string& task) {
    TaskScores scores{.name = task, .kind = TaskKind::kMultipleChoice, .rows = {}};
    const RowScores row{.digest = "d0", .cluster = "", .scores = {{"acc", std::nan("")}}};
    write_file_atomic(folder / "samples.jsonl", sample_json(scores, row).dump() + "\n");
  };
  EvalRecipe recipe;
  recipe.baselines["l0"] = folder.path().string();
  recipe.tasks.resize(1);
  recipe.tasks[0].name = "route";
  recipe.tasks[0].multiple_choice = MultipleChoiceRecipe{};
  GateRecipe gate{.name = "", .metric = "route.acc"};
  gate.no_worse_than = NoWorseRecipe{.baseline = "l0"};
  recipe.gates = {gate};
  const auto check = [&](const std::string& digest) {
    EvalRows rows;
    rows.rows.push_back({.where = "f:1", .value = {}, .digest = digest, .cluster = ""});
    check_baselines(recipe, {rows});
  };
  CHECK_THROWS_WITH(check("d0"), Catch::Contains("no samples of this task"));
  write_samples("route");
  CHECK_NOTHROW(check("d0"));  // a score that is not finite is read back too
  CHECK_THROWS_WITH(check("d1"), Catch::Contains("other rows"));
  recipe.gates[0].metric = "route.macro_f1";
  CHECK_THROWS_WITH(check("d0"), Catch::Contains("no labels"));
  recipe.gates.clear();
  CHECK_THROWS_WITH(check("d1"), Catch::Contains("other rows"));
  recipe.tasks[0].multiple_choice.reset();
  recipe.tasks[0].generation = GenerationRecipe{};
  CHECK_THROWS_WITH(check("d0"), Catch::Contains("another kind"));
}

TEST_CASE("a refused gate names number, bound and metric") {
  const GateOutcome outcome =
      judge({.name = "good", .metric = "route.acc", .minimum = 0.75}, results_with(0.5, 0, 0, 0));
  CHECK(outcome.text == "gate 'good' refused: route.acc = 0.5, minimum 0.75");
}

TEST_CASE("the report marks the Pareto set and escapes what it shows") {
  const TemporaryFolder folder;
  const auto add = [&](const std::string& name, double acc, int64_t bytes) {
    Json results = results_with(acc, 0, 0, 0);
    results["model"]["weight_bytes"] = bytes;
    fs::create_directories(folder / name);
    write_json(folder / (name + "/results.json"), results);
    return (folder / name).string();
  };
  CompareRecipe recipe;
  recipe.results = {{"a<b>", add("big", 0.8, 400)},
                    {"small", add("small", 0.7, 100)},
                    {"bad", add("bad", 0.6, 200)}};
  recipe.order = {"small", "bad"};
  const Report report = build_report(recipe);
  REQUIRE(report.rows.size() == 3);
  CHECK(report.rows[0].label == "small");
  CHECK(report.rows[0].pareto);
  CHECK_FALSE(report.rows[1].pareto);
  CHECK(report.rows[2].pareto);
  const std::string page = report_html(report);
  CHECK(page.find("a&lt;b&gt;") != std::string::npos);
  CHECK(page.find("a<b>") == std::string::npos);
  CHECK(page.find("http") == std::string::npos);
  CHECK(report_text(report).find("* small") != std::string::npos);
  CHECK(quality_json(report).dump().find("tokens_per_second") == std::string::npos);
  write_json(folder / "bad/results.json", Json::parse(results_with(std::nan(""), 0, 0, 0).dump()));
  const Report broken = build_report(recipe);  // not finite: null in the file
  CHECK_FALSE(broken.rows[1].pareto);
  CHECK(std::isnan(broken.rows[1].cells[0]->value));
  CHECK(report_html(broken).find("nan") == std::string::npos);
  recipe.pareto_quality = "route.f2";
  CHECK_THROWS_WITH(build_report(recipe), Catch::Contains("pareto_quality"));
}

TEST_CASE("evaluations of different data are not put side by side") {
  const TemporaryFolder folder;
  CompareRecipe recipe;
  const auto add = [&](const std::string& name, const std::string& digest, int64_t rows,
                       double confidence) {
    Json results = results_with(0.5, 0, 0, 0);
    Json& task = results["tasks"]["route"];
    task["rows"] = rows;
    task["data"] = {{{"path", "test.jsonl"}, {"sha256", digest}, {"bytes", 5}}};
    task["prompt"] = name;  // may differ
    results["settings"]["confidence"] = confidence;
    fs::create_directories(folder / name);
    write_json(folder / (name + "/results.json"), results);
    recipe.results = {{"first", (folder / "first").string()}, {name, (folder / name).string()}};
  };
  add("first", "aa", 10, 0.95);
  add("same", "aa", 10, 0.95);
  CHECK_NOTHROW(build_report(recipe));
  add("other", "bb", 10, 0.95);
  CHECK_THROWS_WITH(build_report(recipe), Catch::Contains("first: ") &&
                                              Catch::Contains("other: ") &&
                                              Catch::Contains("task route"));
  add("fewer", "aa", 9, 0.95);
  CHECK_THROWS_WITH(build_report(recipe), Catch::Contains("9 rows"));
  add("surer", "aa", 10, 0.99);
  CHECK_THROWS_WITH(build_report(recipe), Catch::Contains("confidence 0.99"));
}
