// SPDX-License-Identifier: Apache-2.0
#include "infer/sampler.h"

#include <algorithm>
#include <cmath>
#include <map>
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

void Sampler::penalise(std::span<const float> logits) {
  candidates_.resize(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) candidates_[i] = {logits[i], static_cast<int32_t>(i)};
  if (options_.frequency_penalty == 0 && options_.presence_penalty == 0) return;
  std::map<int32_t, int> counts;
  for (const int32_t id : history_) ++counts[id];
  for (const auto& [id, count] : counts) {
    candidates_[static_cast<size_t>(id)].logit -=
        static_cast<float>(options_.frequency_penalty * count + options_.presence_penalty);
  }
}

void Sampler::keep_top_k() {
  const auto better = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  };
  const auto keep = options_.top_k > 0
                        ? std::min<size_t>(static_cast<size_t>(options_.top_k), candidates_.size())
                        : candidates_.size();
  const bool sort_all = options_.top_p < 1.0 || options_.min_p > 0;
  if (keep < candidates_.size()) {
    std::partial_sort(candidates_.begin(), candidates_.begin() + static_cast<std::ptrdiff_t>(keep),
                      candidates_.end(), better);
    candidates_.resize(keep);
  } else if (sort_all) {
    std::sort(candidates_.begin(), candidates_.end(), better);
  }
}

// Keeps the smallest set of most likely tokens whose mass reaches top_p, and of those the tokens at
// least min_p times as likely as the best. weights_ holds exp((logit - best) / temperature).
void Sampler::keep_nucleus() {
  float best = candidates_[0].logit;
  for (const Candidate& candidate : candidates_) best = std::max(best, candidate.logit);
  weights_.resize(candidates_.size());
  for (size_t i = 0; i < candidates_.size(); ++i)
    weights_[i] =
        std::exp((static_cast<double>(candidates_[i].logit) - best) / options_.temperature);
  if (options_.top_p >= 1.0 && options_.min_p <= 0) return;
  const double target = options_.top_p * std::accumulate(weights_.begin(), weights_.end(), 0.0);
  size_t keep = 0;
  for (double mass = 0; keep < weights_.size() && (keep == 0 || mass < target); ++keep)
    mass += weights_[keep];
  while (keep > 1 && weights_[keep - 1] < options_.min_p) --keep;
  weights_.resize(keep);
}

int32_t Sampler::draw() {
  const double total = std::accumulate(weights_.begin(), weights_.end(), 0.0);
  double left = random_uniform(options_.seed, kStream, position_) * total;
  for (size_t i = 0; i < weights_.size(); ++i) {
    left -= weights_[i];
    if (left < 0) return candidates_[i].id;
  }
  return candidates_[weights_.size() - 1].id;
}

int32_t Sampler::next(std::span<const float> logits) {
  check_finite(logits);
  const bool penalised = options_.frequency_penalty != 0 || options_.presence_penalty != 0;
  int32_t id = 0;
  if (options_.temperature <= 0 && !penalised) {
    id = argmax(logits);
  } else {
    penalise(logits);
    if (options_.temperature <= 0) {
      id =
          std::max_element(candidates_.begin(), candidates_.end(),
                           [](const Candidate& a, const Candidate& b) { return a.logit < b.logit; })
              ->id;
    } else {
      keep_top_k();
      keep_nucleus();
      id = draw();
    }
  }
  ++position_;
  history_.push_back(id);
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
