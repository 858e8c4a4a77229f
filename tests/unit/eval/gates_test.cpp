// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "base/error.h"
#include "eval/compare.h"
#include "support/catch.h"
#include "support/temporary_folder.h"

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
  recipe.pareto_quality = "route.f2";
  CHECK_THROWS_WITH(build_report(recipe), Catch::Contains("pareto_quality"));
}
