// SPDX-License-Identifier: Apache-2.0
#include "eval/scoring.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/log_softmax.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/signals.h"
#include "eval/shared_prefix.h"

namespace gradus {
namespace {

using Scores = std::vector<std::vector<SequenceScore>>;

at::Tensor to_tensor(std::vector<int64_t> values, c10::Device device) {
  return at::from_blob(values.data(), {static_cast<int64_t>(values.size())}, at::kLong)
      .clone()
      .to(device);
}

at::Tensor hidden_states(const Transformer& model, const FlatRequests& flat,
                         const KeptPrefix& kept) {
  const auto rows = static_cast<int64_t>(flat.layout.size()) + 1;
  SharedPrefixAttention attention(
      flat.layout, kept, RecurrentState(model.config(), 1, rows, model.dtype(), model.device()));
  return model.forward(to_tensor({flat.ids.begin(), flat.ids.end()}, model.device()),
                       to_tensor(flat.positions, model.device()), attention);
}

// Rows whose logits are held at once: about 32 MB of fp32, which stays near the caches.
int64_t rows_per_block(int64_t vocabulary) {
  return std::clamp<int64_t>((int64_t{1} << 23) / vocabulary, 1, 4096);
}

// The part [first, last) of flat.wanted whose rows lie in one block, and those rows.
struct Block {
  size_t first = 0, last = 0;
  std::vector<int64_t> rows;    // flat rows, each once
  std::vector<int64_t> places;  // per wanted token: its row's index in `rows`
};

Block next_block(const std::vector<WantedToken>& wanted, size_t first, int64_t most_rows) {
  Block block{.first = first, .last = first, .rows = {}, .places = {}};
  for (; block.last < wanted.size(); ++block.last) {
    const int64_t row = wanted[block.last].row;
    if (block.rows.empty() || block.rows.back() != row) {
      if (static_cast<int64_t>(block.rows.size()) == most_rows) break;
      block.rows.push_back(row);
    }
    block.places.push_back(static_cast<int64_t>(block.rows.size()) - 1);
  }
  return block;
}

void add_score(const WantedToken& token, double log_prob, bool greedy, Scores& scores) {
  if (!std::isfinite(log_prob))
    throw Error("the model's logits are not finite: its weights or the precision are broken");
  auto& request = scores[static_cast<size_t>(token.request)];
  const auto add = [&](SequenceScore& score) {
    score.log_prob += log_prob;
    score.greedy = score.greedy && greedy;
  };
  if (token.continuation >= 0) return add(request[static_cast<size_t>(token.continuation)]);
  for (SequenceScore& score : request) add(score);
}

void score_block(const Transformer& model, const at::Tensor& hidden, const FlatRequests& flat,
                 const Block& block, Scores& scores) {
  const c10::Device device = model.device();
  const at::Tensor rows = at::index_select(hidden, 0, to_tensor(block.rows, device));
  const at::Tensor log_probs = at::log_softmax(model.logits(rows).to(at::kFloat), -1);
  const at::Tensor best = at::argmax(log_probs, -1).to(at::kCPU);
  std::vector<int64_t> entries;
  for (size_t i = block.first; i < block.last; ++i)
    entries.push_back(block.places[i - block.first] * log_probs.size(1) + flat.wanted[i].id);
  const at::Tensor chosen = log_probs.view({-1}).index_select(0, to_tensor(entries, device)).cpu();
  for (size_t i = block.first; i < block.last; ++i) {
    const size_t at = i - block.first;
    const bool greedy = best.const_data_ptr<int64_t>()[block.places[at]] == flat.wanted[i].id;
    add_score(flat.wanted[i], chosen.const_data_ptr<float>()[at], greedy, scores);
  }
}

// Keys and values of the common beginning of sequences like one of `length`, in a pass of its own.
KeptPrefix keep_prefix(const Transformer& model, const std::vector<TokenId>& ids, int64_t length) {
  KeptPrefix kept;
  if (ids.empty()) return kept;
  const at::NoGradGuard no_gradients;
  std::vector<int64_t> positions(ids.size());
  std::iota(positions.begin(), positions.end(), 0);
  kept.states = RecurrentState(model.config(), model.config().num_hidden_layers, 1, model.dtype(),
                               model.device());
  KeepingAttention attention(kept, static_cast<int64_t>(ids.size()), length);
  model.forward(to_tensor({ids.begin(), ids.end()}, model.device()),
                to_tensor(positions, model.device()), attention);
  return kept;
}

void score_pass(const Transformer& model, const FlatRequests& flat, const KeptPrefix& kept,
                Scores& scores) {
  const at::NoGradGuard no_gradients;
  const at::Tensor hidden = hidden_states(model, flat, kept);
  const int64_t most_rows = rows_per_block(model.config().vocab_size);
  for (size_t first = 0; first < flat.wanted.size();) {
    const Block block = next_block(flat.wanted, first, most_rows);
    score_block(model, hidden, flat, block, scores);
    first = block.last;
  }
}

Scores score_alike(const Transformer& model, const AlikeRequests& alike,
                   const ScoreOptions& options) {
  const std::vector<ScoreRequest>& requests = alike.requests;
  Scores scores;
  for (const ScoreRequest& request : requests) scores.emplace_back(request.continuations.size());
  const CommonPrefix common = common_prefix(requests);
  const KeptPrefix kept = keep_prefix(model, common.ids, alike.length);
  if (options.progress) options.progress(static_cast<int64_t>(common.ids.size()));
  for (size_t next = 0; next < requests.size();) {
    throw_if_stopped();
    FlatRequests flat;
    do {
      append_request(requests[next], static_cast<int64_t>(next), common.shared[next], flat);
      ++next;
    } while (next < requests.size() && static_cast<int64_t>(flat.ids.size()) +
                                               flat_tokens(requests[next]) - common.shared[next] <=
                                           options.batch_tokens);
    score_pass(model, flat, kept, scores);
    if (options.progress) options.progress(static_cast<int64_t>(flat.ids.size()));
  }
  return scores;
}

}  // namespace

Scores score_requests(const Transformer& model, const std::vector<ScoreRequest>& requests,
                      const ScoreOptions& options) {
  Scores scores;
  for (const ScoreRequest& request : requests) scores.emplace_back(request.continuations.size());
  for (const AlikeRequests& alike : alike_requests(requests, model.config())) {
    const Scores part = score_alike(model, alike, options);
    for (size_t r = 0; r < part.size(); ++r) {
      for (size_t c = 0; c < part[r].size(); ++c) {
        const auto [request, continuation] = alike.places[r][c];
        scores[request][continuation] = part[r][c];
      }
    }
  }
  return scores;
}

int64_t computed_tokens(const std::vector<ScoreRequest>& requests, const ModelConfig& config) {
  int64_t total = 0;
  for (const AlikeRequests& alike : alike_requests(requests, config)) {
    const CommonPrefix common = common_prefix(alike.requests);
    total += static_cast<int64_t>(common.ids.size());
    for (size_t i = 0; i < alike.requests.size(); ++i)
      total += flat_tokens(alike.requests[i]) - common.shared[i];
  }
  return total;
}

}  // namespace gradus
