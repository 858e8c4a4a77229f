// SPDX-License-Identifier: Apache-2.0
#include "data/plan.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "data/evaluation_set.h"
#include "support/catch.h"
#include "toy.h"

namespace gradus {
namespace {

constexpr int64_t kContext = 64;

struct ToySource {
  const char* name;
  size_t documents;
  std::optional<double> share = {};
  std::optional<int64_t> max_epochs = {};
};

std::vector<PackedSource> toy_sources(const TemporaryFolder& folder,
                                      const std::vector<ToySource>& list, uint64_t seed = 1) {
  std::vector<PackedSource> sources;
  for (const auto& toy : list) {
    SourceRecipe recipe;
    recipe.name = toy.name;
    recipe.share = toy.share;
    recipe.max_epochs = toy.max_epochs;
    const auto documents = random_documents(toy.documents, kContext, seed + sources.size());
    sources.emplace_back(toy_source(folder, recipe, documents),
                         PackingOptions{.context_length = kContext, .seed = seed});
  }
  return sources;
}

PlanOptions options_of(const BatchRecipe& batch, uint64_t seed = 1) {
  return {.batch = batch, .context_length = kContext, .seed = seed};
}

using Order = std::vector<std::pair<int32_t, int64_t>>;

Order order_of(const TrainingPlan& plan) {
  Order order;
  for (int64_t s = 0; s < plan.steps(); ++s) {
    for (const auto& ref : plan.sequences(s)) order.emplace_back(ref.source, ref.sequence);
  }
  return order;
}

}  // namespace

TEST_CASE("without shares an epoch takes every sequence exactly once, in a new order each time") {
  TemporaryFolder folder;
  const TrainingPlan plan(toy_sources(folder, {{"a", 300}, {"b", 50}}),
                          options_of({.sequences_per_step = 7, .epochs = 2}));
  const Order order = order_of(plan);
  const auto size =
      static_cast<size_t>(plan.sources()[0].sequences() + plan.sources()[1].sequences());
  REQUIRE(order.size() == 2 * size);
  Order first(order.begin(), order.begin() + static_cast<ptrdiff_t>(size));
  Order second(order.begin() + static_cast<ptrdiff_t>(size), order.end());
  CHECK(first != second);
  std::sort(first.begin(), first.end());
  std::sort(second.begin(), second.end());
  CHECK(first == second);
  CHECK(std::adjacent_find(first.begin(), first.end()) == first.end());
}

TEST_CASE("the order is a function of the seed") {
  TemporaryFolder folder;
  const std::vector<ToySource> list = {{"a", 200, 0.7}, {"b", 100, 0.3}};
  const BatchRecipe batch{.sequences_per_step = 4, .steps = 50};
  const Order one = order_of(TrainingPlan(toy_sources(folder, list), options_of(batch, 1)));
  const Order same = order_of(TrainingPlan(toy_sources(folder, list), options_of(batch, 1)));
  const Order other = order_of(TrainingPlan(toy_sources(folder, list), options_of(batch, 2)));
  CHECK(one == same);
  CHECK(one != other);
}

TEST_CASE("the order does not depend on how steps and micro-batches cut it") {
  TemporaryFolder folder;
  const std::vector<ToySource> list = {{"a", 200, 2.0}, {"b", 100, 1.0}};
  const auto flat = [&](const BatchRecipe& batch) {
    const TrainingPlan plan(toy_sources(folder, list), options_of(batch));
    std::vector<int32_t> ids, targets;
    for (int64_t s = 0; s < plan.steps(); ++s) {
      for (const auto& part : plan.step(s).micro_batches) {
        ids.insert(ids.end(), part.ids.begin(), part.ids.end());
        targets.insert(targets.end(), part.targets.begin(), part.targets.end());
      }
    }
    return std::pair(ids, targets);
  };
  const auto whole =
      flat({.sequences_per_step = 8, .tokens_per_micro_batch = 1 << 20, .steps = 16});
  CHECK(whole == flat({.sequences_per_step = 8, .sequences_per_micro_batch = 1, .steps = 16}));
  CHECK(whole == flat({.sequences_per_step = 8, .sequences_per_micro_batch = 3, .steps = 16}));
  CHECK(whole == flat({.sequences_per_step = 2, .steps = 64}));
}

TEST_CASE("micro-batches keep to their caps and add up to the step") {
  TemporaryFolder folder;
  const TrainingPlan plan(toy_sources(folder, {{"a", 300}}),
                          options_of({.tokens_per_step = 1000,
                                      .tokens_per_micro_batch = 150,
                                      .sequences_per_micro_batch = 2}));
  for (int64_t s = 0; s < plan.steps(); ++s) {
    const StepPlan step = plan.step(s);
    int64_t tokens = 0, supervised = 0;
    for (const auto& batch : step.micro_batches) {
      CHECK(batch.tokens() <= 150);
      CHECK(batch.longest_segment() <= kContext);
      CHECK(batch.segment_starts.back() == batch.tokens());
      CHECK(batch.supervised_tokens ==
            std::count_if(batch.targets.begin(), batch.targets.end(),
                          [](int32_t target) { return target != kIgnoredTarget; }));
      tokens += batch.tokens();
      supervised += batch.supervised_tokens;
    }
    CHECK(tokens == step.tokens);
    CHECK(supervised == step.supervised_tokens);
    CHECK(tokens == step.source_tokens[0]);
    CHECK(supervised == plan.supervised_tokens(s));
  }
}

TEST_CASE("any step reached directly equals the step reached in order") {
  TemporaryFolder folder;
  const std::vector<ToySource> list = {{"a", 150, 0.6}, {"b", 40, 0.3}, {"c", 90, 0.1}};
  const PlanOptions options = options_of({.tokens_per_step = 700, .tokens = 60000});
  const TrainingPlan plan(toy_sources(folder, list), options);
  std::vector<std::vector<int32_t>> replay;
  for (int64_t s = 0; s < plan.steps(); ++s) replay.push_back(plan.batch(plan.sequences(s)).ids);
  const TrainingPlan fresh(toy_sources(folder, list), options);
  REQUIRE(fresh.steps() == plan.steps());
  for (int64_t s = fresh.steps() - 1; s >= 0; s -= 5)
    CHECK(fresh.batch(fresh.sequences(s)).ids == replay[static_cast<size_t>(s)]);
}

TEST_CASE("realised shares are within one sequence of the request after every step") {
  TemporaryFolder folder;
  const std::vector<ToySource> list = {
      {"a", 500, 70.0}, {"b", 30, 20.0}, {"c", 100, 7.0}, {"d", 9, 3.0}};
  const TrainingPlan plan(toy_sources(folder, list),
                          options_of({.sequences_per_step = 3, .steps = 400}));
  std::vector<int64_t> taken(4, 0);
  int64_t total = 0;
  for (int64_t s = 0; s < plan.steps(); ++s) {
    const StepPlan step = plan.step(s);
    total += step.tokens;
    for (size_t i = 0; i < 4; ++i) {
      taken[i] += step.source_tokens[i];
      const double wanted = *list[i].share / 100 * static_cast<double>(total);
      REQUIRE(std::abs(static_cast<double>(taken[i]) - wanted) <= kContext);
    }
  }
  const auto reports = plan.reports();
  for (size_t i = 0; i < 4; ++i) {
    CHECK(reports[i].planned_tokens == taken[i]);
    CHECK(reports[i].requested_share == Approx(*list[i].share / 100));
    CHECK(reports[i].planned_share == Approx(*list[i].share / 100).margin(0.003));
  }
  CHECK(reports[1].planned_epochs > 3);
}

TEST_CASE("a repeated source gives each of its sequences once per epoch") {
  TemporaryFolder folder;
  const TrainingPlan plan(toy_sources(folder, {{"a", 40, 0.5}, {"b", 400, 0.5}}),
                          options_of({.sequences_per_step = 2, .steps = 200}));
  std::map<int64_t, int64_t> counts;
  for (const auto& [source, sequence] : order_of(plan)) counts[sequence] += source == 0;
  int64_t least = 1 << 30, most = 0;
  for (int64_t q = 0; q < plan.sources()[0].sequences(); ++q) {
    least = std::min(least, counts[q]);
    most = std::max(most, counts[q]);
  }
  CHECK(least >= 5);
  CHECK(most - least <= 1);
}

TEST_CASE("steps follow tokens_per_step without drift") {
  TemporaryFolder folder;
  const TrainingPlan plan(toy_sources(folder, {{"a", 400}}),
                          options_of({.tokens_per_step = 500, .tokens = 50000}));
  REQUIRE(plan.steps() == 100);
  int64_t total = 0;
  for (int64_t s = 0; s < plan.steps(); ++s) {
    total += plan.tokens(s);
    CHECK(std::abs(total - 500 * (s + 1)) <= kContext / 2);
  }
  CHECK(total == plan.tokens());
}

TEST_CASE("the length of a plan comes from steps, tokens or epochs") {
  TemporaryFolder folder;
  const auto plan = [&](const std::vector<ToySource>& list, const BatchRecipe& batch) {
    return TrainingPlan(toy_sources(folder, list), options_of(batch));
  };
  CHECK(plan({{"a", 40}}, {.sequences_per_step = 3, .steps = 11}).steps() == 11);
  const auto by_tokens = plan({{"a", 40}}, {.sequences_per_step = 3, .tokens = 5000});
  CHECK(by_tokens.tokens() >= 5000);
  CHECK(by_tokens.tokens() - by_tokens.tokens(by_tokens.steps() - 1) < 5000);
  const auto half = plan({{"a", 200}}, {.sequences_per_step = 1, .epochs = 0.5});
  CHECK(half.steps() == (half.sources()[0].sequences() + 1) / 2);
  const auto mixed = plan({{"a", 100, 1.0}, {"b", 100, 1.0}}, {.tokens_per_step = 300});
  const int64_t all = mixed.sources()[0].tokens() + mixed.sources()[1].tokens();
  CHECK(std::abs(mixed.tokens() - all) <= 300);
  CHECK(plan({{"a", 3}}, {.tokens_per_step = 1 << 20}).steps() == 1);
  CHECK(plan({{"a", 40}}, {.tokens_per_step = 1, .steps = 5}).tokens(4) > 0);
}

TEST_CASE("max_epochs is an error by default and a stated end on request") {
  TemporaryFolder folder;
  const std::vector<ToySource> list = {{"a", 20, 0.5, 2}, {"b", 400, 0.5}};
  PlanOptions options = options_of({.sequences_per_step = 2, .steps = 500});
  const std::string error = error_of([&] { TrainingPlan(toy_sources(folder, list), options); });
  CHECK(contains(error, "source a reaches its max_epochs (2) after"));
  options.on_exhausted = ExhaustedPolicy::kStop;
  const TrainingPlan plan(toy_sources(folder, list), options);
  CHECK(contains(plan.ended_early(), "source a reaches its max_epochs (2)"));
  CHECK(plan.reports()[0].planned_epochs == Approx(2));
  for (int64_t s = 0; s < plan.steps(); ++s) CHECK(plan.supervised_tokens(s) > 0);
  const Order order = order_of(plan);
  CHECK(std::count_if(order.begin(), order.end(), [](auto ref) { return ref.first == 0; }) ==
        2 * plan.sources()[0].sequences());
}

TEST_CASE("exactly max_epochs is allowed") {
  TemporaryFolder folder;
  const TrainingPlan plan(toy_sources(folder, {{"a", 20, {}, 2}}),
                          options_of({.sequences_per_step = 2, .epochs = 2}));
  CHECK(plan.ended_early().empty());
  const auto steps = plan.steps();
  const TrainingPlan same(toy_sources(folder, {{"a", 20, {}, 2}}),
                          options_of({.sequences_per_step = 2, .steps = steps}));
  CHECK(same.steps() == steps);
  CHECK(contains(error_of([&] {
                   TrainingPlan(toy_sources(folder, {{"a", 20, {}, 2}}),
                                options_of({.sequences_per_step = 2, .steps = steps + 1}));
                 }),
                 "max_epochs"));
}

TEST_CASE("an evaluation set gives every document once, in order, whatever the batches") {
  TemporaryFolder folder;
  SourceRecipe recipe;
  recipe.name = "held-out";
  const auto documents = random_documents(100, kContext, 4);
  const auto source = toy_source(folder, recipe, documents);
  const PackingOptions options{.context_length = kContext, .packing = Packing::kOneDocument};
  for (const int64_t most : {1, 100, 1 << 20}) {
    const EvaluationSet set(PackedSource(source, options), most);
    std::vector<int32_t> ids, expected;
    int64_t supervised = 0;
    for (int64_t i = 0; i < set.batches(); ++i) {
      const PackedBatch batch = set.batch(i);
      ids.insert(ids.end(), batch.ids.begin(), batch.ids.end());
      supervised += batch.supervised_tokens;
    }
    for (const auto& document : documents) {
      if (document.ids.size() > 1)
        expected.insert(expected.end(), document.ids.begin(), document.ids.end());
    }
    CHECK(ids == expected);
    CHECK(supervised == set.supervised_tokens());
    CHECK(set.name() == "held-out");
  }
}

}  // namespace gradus
