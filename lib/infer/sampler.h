// SPDX-License-Identifier: Apache-2.0
// Choosing the next token from logits. Deterministic: the same logits, options and position give
// the same token on every machine, whatever else runs.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "infer/request.h"

namespace gradus {

class Sampler {
 public:
  explicit Sampler(const SamplingOptions& options) : options_(options) {}
  // logits [V] are left as they are. Order: penalties, temperature, top_k, top_p, min_p. Throws
  // gradus::Error when the logits are not finite.
  int32_t next(std::span<const float> logits);

 private:
  struct Candidate {
    float logit;
    int32_t id;
    // The more likely first, of equals the lower id.
    bool operator<(const Candidate& other) const {
      return logit != other.logit ? logit > other.logit : id < other.id;
    }
  };
  std::span<const float> penalised(std::span<const float> logits);
  int32_t sample(std::span<const float> logits);
  double weight(float logit, float best) const;
  void keep_top_k(std::span<const float> logits);
  void sort_up_to(size_t count);
  void keep_nucleus(float best);
  size_t draw();

  SamplingOptions options_;
  uint64_t position_ = 0;
  std::map<int32_t, int64_t> counts_;  // of the chosen tokens, for the penalties
  // Reused: penalised logits, what top_k leaves (the first sorted_ in order), weights to draw from.
  std::vector<float> logits_;
  std::vector<Candidate> candidates_;
  size_t sorted_ = 0;
  std::vector<double> weights_;
};

// log softmax of the chosen entry and of the `count` best, most likely first.
GeneratedToken describe_token(std::span<const float> logits, int32_t id, int64_t count);

}  // namespace gradus
