// SPDX-License-Identifier: Apache-2.0
#include "infer/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/rng.h"
#include "support/catch.h"

using namespace gradus;

namespace {

std::vector<float> some_logits(uint64_t stream, size_t count) {
  std::vector<float> logits;
  for (size_t i = 0; i < count; ++i)
    logits.push_back(static_cast<float>(12 * random_uniform(5, stream, i)));
  return logits;
}

// One token by the definitions: sort everything, then cut, then walk to the random number.
int32_t plain_sample(std::vector<float> logits, const std::vector<int32_t>& history,
                     const SamplingOptions& options, uint64_t position) {
  for (size_t id = 0; id < logits.size(); ++id) {
    const auto count = std::count(history.begin(), history.end(), static_cast<int32_t>(id));
    if (count > 0)
      logits[id] -= static_cast<float>(options.frequency_penalty * static_cast<double>(count) +
                                       options.presence_penalty);
  }
  std::vector<std::pair<double, int32_t>> order;  // weight, id
  const double best = *std::max_element(logits.begin(), logits.end());
  for (size_t id = 0; id < logits.size(); ++id)
    order.emplace_back(std::exp((logits[id] - best) / options.temperature),
                       static_cast<int32_t>(id));
  const bool filtered = options.top_k > 0 || options.top_p < 1 || options.min_p > 0;
  if (filtered)
    std::stable_sort(order.begin(), order.end(),
                     [](const auto& a, const auto& b) { return a.first > b.first; });
  if (options.top_k > 0) order.resize(std::min(order.size(), size_t(options.top_k)));
  double total = 0, mass = 0;
  for (const auto& entry : order) total += entry.first;
  std::vector<std::pair<double, int32_t>> kept;
  for (const auto& entry : order) {
    if (!kept.empty() && options.top_p < 1 && mass >= options.top_p * total) break;
    mass += entry.first;
    if (kept.empty() || entry.first >= options.min_p) kept.push_back(entry);
  }
  double kept_mass = 0;
  for (const auto& entry : kept) kept_mass += entry.first;
  double left = random_uniform(options.seed, 0x73616d706c65, position) * kept_mass;
  for (const auto& [weight, id] : kept) {
    left -= weight;
    if (left < 0) return id;
  }
  return kept.back().second;
}

void check_against_plain(const SamplingOptions& options, size_t vocabulary) {
  Sampler sampler(options);
  std::vector<int32_t> history;
  for (uint64_t position = 0; position < 40; ++position) {
    const std::vector<float> logits = some_logits(position % 7, vocabulary);
    const int32_t expected = plain_sample(logits, history, options, position);
    CAPTURE(position, options.top_k, options.top_p, options.min_p, vocabulary);
    REQUIRE(sampler.next(logits) == expected);
    history.push_back(expected);
  }
}

}  // namespace

TEST_CASE("top_k, top_p, min_p and penalties draw what sorting everything draws") {
  for (const size_t vocabulary : {1U, 50U, 3000U}) {
    for (const int64_t top_k : {0, 1, 40, 5000}) {
      for (const double top_p : {1.0, 0.9, 0.2, 0.0}) {
        for (const double min_p : {0.0, 0.05, 1.0})
          check_against_plain(
              {.temperature = 1.3, .top_p = top_p, .top_k = top_k, .min_p = min_p, .seed = 9},
              vocabulary);
      }
    }
    check_against_plain({.temperature = 0.7,
                         .top_p = 0.95,
                         .frequency_penalty = 1.5,
                         .presence_penalty = 0.5,
                         .seed = 3},
                        vocabulary);
    check_against_plain({.temperature = 2, .presence_penalty = -1, .seed = 4}, vocabulary);
  }
}

TEST_CASE("greedy choices follow the penalties, and equal logits the lower id") {
  Sampler greedy({.temperature = 0});
  CHECK(greedy.next(std::vector<float>{1, 3, 3, 2}) == 1);
  CHECK(greedy.next(std::vector<float>{1, 3, 3, 2}) == 1);
  Sampler fresh({.temperature = 0, .frequency_penalty = 0.6});
  const std::vector<float> logits = {1, 3, 2.5, 2};
  CHECK(fresh.next(logits) == 1);
  CHECK(fresh.next(logits) == 2);
  CHECK(fresh.next(logits) == 1);  // 2.4 against 1.9 and 2
}

TEST_CASE("logits that are not finite are an error") {
  Sampler sampler({});
  CHECK_THROWS_AS(sampler.next(std::vector<float>{1, std::nanf("")}), Error);
  CHECK_THROWS_AS(sampler.next(std::vector<float>{1, std::numeric_limits<float>::infinity()}),
                  Error);
}
