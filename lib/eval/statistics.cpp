// SPDX-License-Identifier: Apache-2.0
#include "eval/statistics.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "base/rng.h"

namespace gradus {

double normal_quantile(double confidence) {
  double low = 0, high = 40;
  for (int i = 0; i < 200; ++i) {  // bisection to the last bit; erf is monotone
    const double middle = (low + high) / 2;
    (std::erf(middle / std::sqrt(2.0)) < confidence ? low : high) = middle;
  }
  return high;
}

Interval wilson_interval(double p, double n, double confidence) {
  const double z = normal_quantile(confidence), z2 = z * z / n;
  const double centre = (p + z2 / 2) / (1 + z2);
  const double half = z / (1 + z2) * std::sqrt(p * (1 - p) / n + z2 / (4 * n));
  // At the ends the formula gives 0 and 1 but for rounding.
  return {p <= 0 ? 0.0 : std::max(0.0, centre - half), p >= 1 ? 1.0 : std::min(1.0, centre + half)};
}

std::vector<size_t> cluster_numbers(const std::vector<std::string>& names) {
  std::map<std::string, size_t> known;
  std::vector<size_t> numbers;
  size_t next = 0;
  for (const std::string& name : names) {
    if (name.empty()) {
      numbers.push_back(next++);
      continue;
    }
    const auto [place, fresh] = known.try_emplace(name, next);
    if (fresh) ++next;
    numbers.push_back(place->second);
  }
  return numbers;
}

size_t cluster_count(const std::vector<size_t>& clusters) {
  return clusters.empty() ? 0 : *std::max_element(clusters.begin(), clusters.end()) + 1;
}

RatioEstimate ratio_estimate(const std::vector<double>& numerators,
                             const std::vector<double>& denominators,
                             const std::vector<size_t>& clusters) {
  const double bottom = std::accumulate(denominators.begin(), denominators.end(), 0.0);
  const size_t count = cluster_count(clusters);
  RatioEstimate estimate{
      .value = std::accumulate(numerators.begin(), numerators.end(), 0.0) / bottom,
      .clusters = static_cast<int64_t>(count)};
  if (count < 2) return estimate;
  std::vector<double> residuals(count, 0.0);
  for (size_t i = 0; i < numerators.size(); ++i)
    residuals[clusters[i]] += numerators[i] - estimate.value * denominators[i];
  double squares = 0;
  for (const double residual : residuals) squares += residual * residual;
  const auto n = static_cast<double>(count);
  estimate.standard_error = std::sqrt(squares * n / (n - 1)) / bottom;
  return estimate;
}

Interval rate_interval(const RatioEstimate& rate, int64_t rows, double confidence) {
  const auto n = static_cast<double>(rows);
  const double p = rate.value, independent = p * (1 - p) / n;
  double effective = n;
  if (independent > 0)
    effective /= std::max(1.0, rate.standard_error * rate.standard_error / independent);
  // Where every row agrees there is no variance to compare with: clusters count as one row each.
  else
    effective = static_cast<double>(std::max<int64_t>(rate.clusters, 1));
  return wilson_interval(p, effective, confidence);
}

Interval bootstrap_interval(const std::vector<size_t>& clusters,
                            const std::function<double(const std::vector<double>&)>& statistic,
                            const BootstrapOptions& options) {
  const size_t count = cluster_count(clusters);
  std::vector<double> values, weights(clusters.size()), drawn(count);
  for (int64_t draw = 0; draw < options.draws; ++draw) {
    std::fill(drawn.begin(), drawn.end(), 0.0);
    for (size_t i = 0; i < count; ++i) {
      const double uniform = random_uniform(options.seed, static_cast<uint64_t>(draw), i);
      drawn[static_cast<size_t>(uniform * static_cast<double>(count))] += 1;
    }
    for (size_t row = 0; row < clusters.size(); ++row) weights[row] = drawn[clusters[row]];
    const double value = statistic(weights);
    if (std::isfinite(value)) values.push_back(value);
  }
  if (values.empty()) return {std::nan(""), std::nan("")};
  std::sort(values.begin(), values.end());
  const auto at = [&](double share) {
    const double place = share * static_cast<double>(values.size() - 1);
    const auto below = static_cast<size_t>(place);
    const size_t above = std::min(below + 1, values.size() - 1);
    return values[below] + (place - static_cast<double>(below)) * (values[above] - values[below]);
  };
  const double tail = (1 - options.confidence) / 2;
  return {at(tail), at(1 - tail)};
}

double mcnemar_p(int64_t won, int64_t lost) {
  const int64_t total = won + lost, fewer = std::min(won, lost);
  if (total == 0) return 1;
  const auto n = static_cast<double>(total);
  double tail = 0;  // P(X <= fewer), X ~ Binomial(total, 1/2), summed from logarithms
  for (int64_t k = 0; k <= fewer; ++k) {
    const auto x = static_cast<double>(k);
    tail += std::exp(std::lgamma(n + 1) - std::lgamma(x + 1) - std::lgamma(n - x + 1) -
                     n * std::log(2.0));
  }
  return std::min(1.0, 2 * tail);
}

}  // namespace gradus
