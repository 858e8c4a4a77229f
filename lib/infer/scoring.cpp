// SPDX-License-Identifier: Apache-2.0
#include <ATen/ops/log_softmax.h>

#include <algorithm>

#include "base/error.h"
#include "infer/engine.h"
#include "infer/pass.h"

namespace gradus {
namespace {

size_t longest(const std::vector<std::vector<int32_t>>& continuations) {
  size_t length = 0;
  for (const auto& continuation : continuations) {
    if (continuation.empty()) throw Error("a continuation to score has no tokens");
    length = std::max(length, continuation.size());
  }
  return length;
}

// The last prompt token and all but the last continuation token: what predicts the continuation.
PassSegment continuation_segment(int64_t slot, const std::vector<int32_t>& prompt,
                                 const std::vector<int32_t>& continuation) {
  PassSegment segment{.slot = slot,
                      .past = static_cast<int64_t>(prompt.size()) - 1,
                      .ids = {prompt.back()},
                      .all_rows = true};
  segment.ids.insert(segment.ids.end(), continuation.begin(), continuation.end() - 1);
  return segment;
}

// log_probs [rows, V] of the continuation's tokens, from row `first`.
ContinuationScore score_rows(const at::Tensor& log_probs, int64_t first,
                             const std::vector<int32_t>& continuation) {
  ContinuationScore score{.log_prob = 0, .greedy = true};
  const int64_t vocabulary = log_probs.size(1);
  for (size_t i = 0; i < continuation.size(); ++i) {
    const float* row =
        log_probs.const_data_ptr<float>() + (first + static_cast<int64_t>(i)) * vocabulary;
    score.log_prob += row[continuation[i]];
    score.greedy = score.greedy && std::max_element(row, row + vocabulary) - row == continuation[i];
  }
  return score;
}

}  // namespace

std::vector<ContinuationScore> score_continuations(
    const Transformer& model, const std::vector<int32_t>& prompt,
    const std::vector<std::vector<int32_t>>& continuations) {
  if (prompt.empty()) throw Error("a prompt to score has no tokens");
  if (continuations.empty()) return {};
  const auto slots = static_cast<int64_t>(continuations.size());
  const auto past = static_cast<int64_t>(prompt.size()) - 1;
  KvCache cache(model.config(),
                {.slots = slots, .capacity = past + static_cast<int64_t>(longest(continuations))},
                model.dtype(), model.device());
  if (past > 0)
    run_prefill(model, cache, {{.slot = 0, .past = 0, .ids = {prompt.begin(), prompt.end() - 1}}});
  std::vector<PassSegment> segments;
  for (int64_t slot = 0; slot < slots; ++slot) {
    if (slot > 0 && past > 0) cache.copy_prefix(0, slot, past);
    segments.push_back(
        continuation_segment(slot, prompt, continuations[static_cast<size_t>(slot)]));
  }
  const at::Tensor log_probs = at::log_softmax(run_pass(model, cache, segments), -1);
  std::vector<ContinuationScore> scores;
  int64_t row = 0;
  for (const auto& continuation : continuations) {
    scores.push_back(score_rows(log_probs, row, continuation));
    row += static_cast<int64_t>(continuation.size());
  }
  return scores;
}

}  // namespace gradus
