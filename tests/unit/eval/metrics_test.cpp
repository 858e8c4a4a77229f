// SPDX-License-Identifier: Apache-2.0
#include "eval/metrics.h"

#include <cmath>

#include "base/error.h"
#include "eval/tasks.h"
#include "support/catch.h"

using namespace gradus;

namespace {

TaskScores labelled(const std::vector<std::pair<int, int>>& gold_and_predicted) {
  TaskScores task{
      .name = "route", .kind = TaskKind::kMultipleChoice, .rows = {}, .labels = {"a", "b", "c"}};
  int number = 0;
  for (const auto& [gold, predicted] : gold_and_predicted) {
    RowScores row{.digest = cat("row", number++), .cluster = "", .scores = {}};
    const double right = gold == predicted;
    row.scores = {{"acc", right},          {"acc_norm", right},  {"acc_bytes", right},
                  {"exact_match", 0},      {"brier", 1 - right}, {"gold", gold},
                  {"predicted", predicted}};
    task.rows.push_back(std::move(row));
  }
  return task;
}

double value_of(const TaskScores& task, const std::string& name) {
  return evaluate_metric(task, find_metric(task.kind, name, "test"), {}).value;
}

}  // namespace

TEST_CASE("accuracy, F1 and confusion are counted by hand") {
  const TaskScores task = labelled({{0, 0}, {0, 1}, {1, 1}, {1, 1}, {2, 0}, {0, 0}});
  CHECK(value_of(task, "acc") == Approx(4.0 / 6));
  // F1: a 2·2/(3+3), b 2·2/(2+3), c 0.
  CHECK(value_of(task, "macro_f1") == Approx((2.0 / 3 + 4.0 / 5 + 0) / 3));
  const Json report = label_report(task);
  CHECK(report["labels"]["a"]["precision"] == Approx(2.0 / 3));
  CHECK(report["labels"]["b"]["recall"] == 1.0);
  CHECK(report["labels"]["c"]["f1"] == 0.0);
  CHECK(report["confusion"]["gold_by_predicted"] == Json{{2, 1, 0}, {0, 2, 0}, {1, 0, 0}});
  CHECK(report["majority"]["label"] == "a");
  CHECK(report["majority"]["acc"] == 0.5);
}

TEST_CASE("perplexities are exponentials of sums over all rows") {
  TaskScores task{.name = "ppl", .kind = TaskKind::kPerplexity, .rows = {}};
  task.rows.push_back(
      {"x", "", {{"nll", 12}, {"tokens", 4}, {"words", 2}, {"bytes", 9}, {"mean_nll", 3}}});
  task.rows.push_back(
      {"y", "", {{"nll", 3}, {"tokens", 6}, {"words", 3}, {"bytes", 11}, {"mean_nll", 0.5}}});
  CHECK(value_of(task, "token_perplexity") == Approx(std::exp(1.5)));
  CHECK(value_of(task, "word_perplexity") == Approx(std::exp(3.0)));
  CHECK(value_of(task, "byte_perplexity") == Approx(std::exp(0.75)));
  CHECK(value_of(task, "bits_per_byte") == Approx(0.75 / std::log(2.0)));
  CHECK(value_of(task, "document_loss") == Approx(1.75));
  const auto perplexity =
      evaluate_metric(task, find_metric(task.kind, "token_perplexity", "test"), {});
  CHECK(perplexity.interval.low < perplexity.value);
  CHECK(perplexity.value < perplexity.interval.high);
}

TEST_CASE("paired differences use the same rows") {
  const TaskScores better = labelled({{0, 0}, {1, 1}, {2, 2}, {0, 0}, {1, 1}, {2, 0}});
  const TaskScores worse = labelled({{0, 1}, {1, 0}, {2, 2}, {0, 0}, {1, 2}, {2, 0}});
  const auto& acc = find_metric(TaskKind::kMultipleChoice, "acc", "test");
  const PairedDifference paired = compare_metric(better, worse, acc, {});
  CHECK(paired.difference == Approx(0.5));
  CHECK(paired.p_value == Approx(0.25));  // 3 won, 0 lost
  CHECK(paired.interval.low >= 0);
  CHECK(paired.interval.high <= 1);
  const TaskScores other = labelled({{0, 0}});
  CHECK_THROWS_WITH(compare_metric(better, other, acc, {}), Catch::Contains("other rows"));
}

TEST_CASE("samples keep every number") {
  const TaskScores task = labelled({{0, 0}, {2, 1}});
  for (const RowScores& row : task.rows) {
    const Json sample = Json::parse(sample_json(task, row).dump());
    CHECK(sample["row"] == row.digest);
    CHECK(sample["scores"].get<std::map<std::string, double>>() == row.scores);
  }
}

TEST_CASE("an unknown metric names its neighbour") {
  CHECK_THROWS_WITH(find_metric(TaskKind::kMultipleChoice, "acc_nrm", "gate"),
                    Catch::Contains("did you mean acc_norm"));
}

TEST_CASE("answers are compared as SQuAD does") {
  CHECK(normalize_answer("  The Query-Planner, an  INDEX. ") == "queryplanner index");
  CHECK(normalize_answer("theatre") == "theatre");
  CHECK(token_f1("a red cat", "the red dog") == Approx(0.5));
  CHECK(token_f1("red red", "red") == Approx(2.0 / 3));
  CHECK(token_f1("", "the") == 1);
  CHECK(token_f1("cat", "") == 0);
}

TEST_CASE("words are counted as Python's re.split counts parts") {
  CHECK(count_words("") == 1);
  CHECK(count_words("one two\n\nthree") == 3);
  CHECK(count_words(" edge ") == 3);
  CHECK(count_words("a\xc2\xa0"
                    "b") == 2);
}

TEST_CASE("rolling windows predict each token once") {
  std::vector<TokenId> tokens;
  for (TokenId id = 10; id < 21; ++id) tokens.push_back(id);
  const auto windows = rolling_windows(tokens, 1, 4);
  REQUIRE(windows.size() == 3);
  CHECK(windows[0].prompt == std::vector<TokenId>{1});
  CHECK(windows[0].continuations[0] == std::vector<TokenId>{10, 11, 12, 13});
  CHECK(windows[1].prompt == std::vector<TokenId>{13});
  CHECK(windows[1].continuations[0] == std::vector<TokenId>{14, 15, 16, 17});
  CHECK(windows[2].prompt == std::vector<TokenId>{16, 17});  // the last one reaches back
  CHECK(windows[2].continuations[0] == std::vector<TokenId>{18, 19, 20});
  CHECK(rolling_windows({}, 1, 4).empty());
}
