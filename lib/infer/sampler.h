// SPDX-License-Identifier: Apache-2.0
// Choosing the next token from logits. Deterministic: the same logits, options and position give
// the same token on every machine, whatever else runs.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "infer/engine.h"

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
  };
  void penalise(std::span<const float> logits);
  void keep_top_k();
  void keep_nucleus();
  int32_t draw();

  SamplingOptions options_;
  uint64_t position_ = 0;
  std::vector<int32_t> history_;       // chosen tokens, for the penalties
  std::vector<Candidate> candidates_;  // reused
  std::vector<double> weights_;
};

// log softmax of the chosen entry and of the `count` best, most likely first.
GeneratedToken describe_token(std::span<const float> logits, int32_t id, int64_t count);

}  // namespace gradus
