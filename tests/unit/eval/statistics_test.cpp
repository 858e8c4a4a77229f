// SPDX-License-Identifier: Apache-2.0
#include "eval/statistics.h"

#include <cmath>
#include <numeric>

#include "support/catch.h"

using namespace gradus;

TEST_CASE("normal quantiles are the tabulated ones") {
  CHECK(normal_quantile(0.95) == Approx(1.959963984540054).epsilon(1e-12));
  CHECK(normal_quantile(0.99) == Approx(2.5758293035489).epsilon(1e-12));
}

TEST_CASE("Wilson intervals equal those of statsmodels") {
  const Interval some = wilson_interval(0.3, 10, 0.95);
  CHECK(some.low == Approx(0.10779126740630075));
  CHECK(some.high == Approx(0.6032218525388546));
  const Interval none = wilson_interval(0, 10, 0.95);
  CHECK(none.low == 0);
  CHECK(none.high == Approx(0.2775327998628892));
  CHECK(wilson_interval(1, 10, 0.95).high == 1);
}

TEST_CASE("equal names are one cluster, and rows without a name stand alone") {
  CHECK(cluster_numbers({"a", "b", "a", "", ""}) == std::vector<size_t>{0, 1, 0, 2, 3});
  CHECK(cluster_count({0, 1, 0, 2, 3}) == 4);
  CHECK(cluster_count({}) == 0);
}

TEST_CASE("without clusters the standard error of a mean is sd / sqrt(n)") {
  const std::vector<double> values{1, 4, 2, 8, 5}, ones(5, 1.0);
  const auto estimate = ratio_estimate(values, ones, cluster_numbers({"", "", "", "", ""}));
  CHECK(estimate.value == Approx(4));
  CHECK(estimate.standard_error == Approx(std::sqrt(7.5 / 5)));
}

TEST_CASE("repeating every row in its cluster leaves the standard error as it was") {
  const std::vector<double> once{1, 0, 1, 1, 0, 1}, twice{1, 1, 0, 0, 1, 1, 1, 1, 0, 0, 1, 1};
  const auto alone = ratio_estimate(once, std::vector<double>(6, 1.0), {0, 1, 2, 3, 4, 5});
  const auto repeated =
      ratio_estimate(twice, std::vector<double>(12, 1.0), {0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5});
  CHECK(repeated.value == Approx(alone.value));
  CHECK(repeated.standard_error == Approx(alone.standard_error));
  const Interval narrow = rate_interval(alone, 6, 0.95), wide = rate_interval(repeated, 12, 0.95);
  CHECK(wide.high - wide.low >= narrow.high - narrow.low - 0.06);
}

TEST_CASE("the bootstrap of a mean agrees with its standard error and can be repeated") {
  std::vector<double> values;
  std::vector<size_t> clusters;
  for (size_t i = 0; i < 200; ++i) {
    values.push_back(std::sin(static_cast<double>(i * i)));
    clusters.push_back(i);
  }
  const auto mean = [&](const std::vector<double>& weights) {
    double sum = 0, count = 0;
    for (size_t i = 0; i < values.size(); ++i) sum += weights[i] * values[i], count += weights[i];
    return sum / count;
  };
  const BootstrapOptions options{.draws = 4000, .seed = 7};
  const Interval interval = bootstrap_interval(clusters, mean, options);
  const auto estimate = ratio_estimate(values, std::vector<double>(200, 1.0), clusters);
  CHECK(interval.high - interval.low ==
        Approx(2 * normal_quantile(0.95) * estimate.standard_error).epsilon(0.06));
  const Interval again = bootstrap_interval(clusters, mean, options);
  CHECK(again.low == interval.low);
  CHECK(again.high == interval.high);
}

TEST_CASE("McNemar's exact test is the two-sided binomial test") {
  CHECK(mcnemar_p(0, 0) == 1);
  CHECK(mcnemar_p(1, 9) == Approx(0.021484375));
  CHECK(mcnemar_p(9, 1) == Approx(0.021484375));
  CHECK(mcnemar_p(5, 5) == 1);
  CHECK(mcnemar_p(0, 5) == Approx(0.0625));
}
