// SPDX-License-Identifier: Apache-2.0
// Log-likelihoods of continuations, many prompts in one forward pass.
//
// A prompt is computed once for all of its continuations: in the flat tokens of a pass it is
// followed by the continuations side by side, each of which sees the prompt and itself. What all
// continuations begin with counts to the prompt. What many prompts begin with (few-shot examples)
// is computed once and its keys and values are kept for the passes of these prompts. Passes are
// filled in the order of the requests, so the result does not depend on timing.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "model/transformer.h"
#include "text/tokenizer.h"

namespace gradus {

struct ScoreRequest {
  std::vector<TokenId> prompt;                      // at least one token
  std::vector<std::vector<TokenId>> continuations;  // at least one, each at least one token
};

struct SequenceScore {
  double log_prob = 0;  // sum over the continuation's tokens, fp32 log-softmax
  bool greedy = true;   // each token was the most likely one
};

struct ScoreOptions {
  int64_t batch_tokens = 1024;  // of one pass; a longer request is a pass of its own
  std::function<void(int64_t tokens)> progress = {};  // called after each pass
};

// Scores per request and continuation. Every prompt + continuation must fit the model's positions.
// Throws gradus::Error when logits are not finite, or when SIGINT or SIGTERM asks to stop.
std::vector<std::vector<SequenceScore>> score_requests(const Transformer& model,
                                                       const std::vector<ScoreRequest>& requests,
                                                       const ScoreOptions& options);

// Tokens that score_requests puts through the model.
int64_t computed_tokens(const std::vector<ScoreRequest>& requests, const ModelConfig& config);

}  // namespace gradus
