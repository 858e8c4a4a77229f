// SPDX-License-Identifier: Apache-2.0
// Intervals. A metric is a ratio of sums over rows, Σ numerator / Σ denominator (a mean when every
// denominator is 1). Rows of one cluster are summed first, and clusters are what varies
// (Miller 2024, "Adding error bars to evals", arXiv 2411.00640): without clusters each row is one.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace gradus {

struct Interval {
  double low = 0, high = 0;
};

// The z with P(|Z| <= z) = confidence, Z standard normal.
double normal_quantile(double confidence);

// Wilson's score interval (1927) of a rate p observed on n independent trials, n > 0 (it may be a
// fraction: an effective number).
Interval wilson_interval(double p, double n, double confidence);

// For every row the number of its cluster, 0, 1, …; equal names are equal clusters. Rows named ""
// are clusters of their own.
std::vector<size_t> cluster_numbers(const std::vector<std::string>& names);
size_t cluster_count(const std::vector<size_t>& clusters);

struct RatioEstimate {
  double value = 0;
  double standard_error = 0;  // linearised, clustered; 0 with fewer than two clusters
  int64_t clusters = 0;
};
RatioEstimate ratio_estimate(const std::vector<double>& numerators,
                             const std::vector<double>& denominators,
                             const std::vector<size_t>& clusters);

// Wilson's interval with the number of rows divided by how much clustering widens the variance
// (never by less than 1).
Interval rate_interval(const RatioEstimate& rate, int64_t rows, double confidence);

// Percentile interval of a statistic under resampling of clusters. `statistic` gets for each row
// how often it was drawn. Deterministic in `seed`. Draws without a finite statistic are left out.
struct BootstrapOptions {
  int64_t draws = 2000;
  uint64_t seed = 1;
  double confidence = 0.95;
};
Interval bootstrap_interval(const std::vector<size_t>& clusters,
                            const std::function<double(const std::vector<double>&)>& statistic,
                            const BootstrapOptions& options);

// Exact two-sided McNemar test (1947): only rows on which two models differ count; `won` for one,
// `lost` for the other. 1 when there is none.
double mcnemar_p(int64_t won, int64_t lost);

}  // namespace gradus
