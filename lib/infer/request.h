// SPDX-License-Identifier: Apache-2.0
// What goes into and comes out of a generation: plain data without libtorch, so that protocols can
// be written, tested and fuzzed without it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace gradus {

struct SamplingOptions {
  double temperature = 1.0;  // 0: greedy
  double top_p = 1.0;
  int64_t top_k = 0;  // 0: off
  double min_p = 0.0;
  double frequency_penalty = 0.0;
  double presence_penalty = 0.0;
  // The draw at each position depends on the seed and the position alone. The logits it is applied
  // to are equal to the last bit only between passes of equal shape: products of few and of many
  // rows are summed in different orders, so what runs beside a request can turn a near tie.
  uint64_t seed = 0;
};

struct GenerationRequest {
  std::vector<int32_t> prompt;  // at least one token
  int64_t max_tokens = 16;
  SamplingOptions sampling;
  std::vector<int32_t> stop_tokens;  // ends the answer; the stop token itself is reported last
  int64_t top_logprobs = -1;         // -1: none; n >= 0: the chosen token's and the n best
};

struct TokenLogprob {
  int32_t id = 0;
  float logprob = 0;
};

struct GeneratedToken {
  int32_t id = 0;
  float logprob = 0;  // only with top_logprobs >= 0
  std::vector<TokenLogprob> top;
};

enum class FinishReason { kNone, kStop, kLength, kCancelled, kError };

// Called on the engine's thread, in order; must return quickly. The last call has a reason.
// kNone: one token follows. kStop: `token` is the stop token. Otherwise there is no token.
struct GenerationEvent {
  const GeneratedToken* token = nullptr;
  FinishReason finish = FinishReason::kNone;
  std::string error;
};
using GenerationCallback = std::function<void(const GenerationEvent&)>;

}  // namespace gradus
