// SPDX-License-Identifier: Apache-2.0
#include "infer/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "base/rng.h"

namespace gradus {
namespace {

constexpr uint64_t kStream = 0x73616d706c65;  // keeps the draws apart from other uses of a seed

int32_t argmax(std::span<const float> logits) {
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

double log_sum_exp(std::span<const float> logits) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - top);
  return top + std::log(sum);
}

// The ids of the `count` largest logits, largest first, the lower id first where two are equal: one
// pass, since nearly every logit is below the worst that is kept.
std::vector<int32_t> best_ids(std::span<const float> logits, size_t count) {
  std::vector<int32_t> best;
  if (count == 0) return best;
  const auto logit = [&](int32_t id) { return logits[static_cast<size_t>(id)]; };
  for (size_t i = 0; i < logits.size(); ++i) {
    if (best.size() == count) {
      if (logits[i] <= logit(best.back())) continue;
      best.pop_back();
    }
    const auto place =
        std::find_if(best.begin(), best.end(), [&](int32_t id) { return logit(id) < logits[i]; });
    best.insert(place, static_cast<int32_t>(i));
  }
  return best;
}

void check_finite(std::span<const float> logits) {
  double sum = 0;
  for (const float logit : logits) sum += logit;
  if (!std::isfinite(sum)) throw Error("the model produced logits that are not finite");
}

}  // namespace

std::span<const float> Sampler::penalised(std::span<const float> logits) {
  if (options_.frequency_penalty == 0 && options_.presence_penalty == 0) return logits;
  logits_.assign(logits.begin(), logits.end());
  for (const auto& [id, count] : counts_) {
    logits_[static_cast<size_t>(id)] -=
        static_cast<float>(options_.frequency_penalty * count + options_.presence_penalty);
  }
  return logits_;
}

double Sampler::weight(float logit, float best) const {
  return std::exp((static_cast<double>(logit) - best) / options_.temperature);
}

void Sampler::keep_top_k(std::span<const float> logits) {
  candidates_.resize(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) candidates_[i] = {logits[i], static_cast<int32_t>(i)};
  const auto keep = static_cast<size_t>(std::max<int64_t>(options_.top_k, 0));
  if (keep == 0 || keep >= candidates_.size()) return;
  std::nth_element(candidates_.begin(), candidates_.begin() + static_cast<std::ptrdiff_t>(keep),
                   candidates_.end());
  candidates_.resize(keep);
}

// Sorts only as many candidates as turn out to be needed, which are few of a large vocabulary.
void Sampler::sort_up_to(size_t count) {
  const auto at = [this](size_t i) { return candidates_.begin() + static_cast<std::ptrdiff_t>(i); };
  if (count < candidates_.size()) std::nth_element(at(sorted_), at(count), candidates_.end());
  std::sort(at(sorted_), at(count));
  sorted_ = count;
}

// Keeps the smallest set of most likely tokens whose mass reaches top_p, and of those the tokens at
// least min_p times as likely as the best: their weights, most likely first.
void Sampler::keep_nucleus(float best) {
  double target = std::numeric_limits<double>::infinity();
  if (options_.top_p < 1) {
    target = 0;
    for (const Candidate& candidate : candidates_) target += weight(candidate.logit, best);
    target *= options_.top_p;
  }
  weights_.clear();
  sorted_ = 0;
  double mass = 0;
  for (size_t i = 0; i < candidates_.size(); ++i) {
    if (i == sorted_) sort_up_to(std::min(candidates_.size(), std::max<size_t>(64, 4 * i)));
    const double next = weight(candidates_[i].logit, best);
    if (i > 0 && (mass >= target || next < options_.min_p)) break;
    weights_.push_back(next);
    mass += next;
  }
}

// The position in weights_ that the next random number falls on.
size_t Sampler::draw() {
  const double total = std::accumulate(weights_.begin(), weights_.end(), 0.0);
  double left = random_uniform(options_.seed, kStream, position_) * total;
  for (size_t i = 0; i < weights_.size(); ++i) {
    left -= weights_[i];
    if (left < 0) return i;
  }
  return weights_.size() - 1;
}

int32_t Sampler::sample(std::span<const float> logits) {
  const float best = *std::max_element(logits.begin(), logits.end());
  if (options_.top_k <= 0 && options_.top_p >= 1 && options_.min_p <= 0) {
    weights_.clear();
    for (const float logit : logits) weights_.push_back(weight(logit, best));
    return static_cast<int32_t>(draw());
  }
  keep_top_k(logits);
  keep_nucleus(best);
  return candidates_[draw()].id;
}

int32_t Sampler::next(std::span<const float> logits) {
  check_finite(logits);
  const std::span<const float> adjusted = penalised(logits);
  const int32_t id = options_.temperature <= 0 ? argmax(adjusted) : sample(adjusted);
  ++position_;
  ++counts_[id];
  return id;
}

GeneratedToken describe_token(std::span<const float> logits, int32_t id, int64_t count) {
  GeneratedToken token{.id = id, .logprob = 0, .top = {}};
  if (count < 0) return token;
  const double total = log_sum_exp(logits);
  const auto logprob = [&](int32_t at) {
    return static_cast<float>(logits[static_cast<size_t>(at)] - total);
  };
  token.logprob = logprob(id);
  for (const int32_t best : best_ids(logits, static_cast<size_t>(count)))
    token.top.push_back({best, logprob(best)});
  return token;
}

}  // namespace gradus
