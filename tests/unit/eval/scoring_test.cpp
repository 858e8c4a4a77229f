// SPDX-License-Identifier: Apache-2.0
#include "eval/scoring.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/tensor.h>

#include "base/error.h"
#include "base/signals.h"
#include "eval/shared_prefix.h"
#include "support/catch.h"
#include "support/family_configs.h"

using namespace gradus;

namespace {

std::vector<TokenId> some_ids(int64_t count, int32_t start) {
  std::vector<TokenId> ids;
  for (int64_t i = 0; i < count; ++i)
    ids.push_back(static_cast<TokenId>((start + 37 * i) % 150 + 3));
  return ids;
}

// One full forward pass per continuation.
SequenceScore slow_score(const Transformer& model, const std::vector<TokenId>& prompt,
                         const std::vector<TokenId>& continuation) {
  const at::NoGradGuard no_gradients;
  std::vector<int64_t> ids(prompt.begin(), prompt.end());
  ids.insert(ids.end(), continuation.begin(), continuation.end() - 1);
  const auto T = static_cast<int64_t>(ids.size());
  PackedAttention attention({0, T});
  const at::Tensor log_probs = at::log_softmax(
      model.logits(model.forward(at::tensor(ids, at::kLong), at::arange(T, at::kLong), attention))
          .to(at::kFloat),
      -1);
  SequenceScore score;
  for (size_t i = 0; i < continuation.size(); ++i) {
    const at::Tensor row = log_probs[static_cast<int64_t>(prompt.size() + i) - 1];
    score.log_prob += row[continuation[i]].item<double>();
    score.greedy = score.greedy && row.argmax().item<int64_t>() == continuation[i];
  }
  return score;
}

std::vector<ScoreRequest> mixed_requests() {
  return {{some_ids(17, 3), {{5}, {9, 11}, {120, 4, 77}}},
          {some_ids(1, 8), {some_ids(30, 2)}},
          {some_ids(9, 40), {{7, 8, 1}, {7, 8, 2}, {7, 8, 2, 4}, {7, 8}}},
          {some_ids(5, 61), {{33, 44, 55}, {33, 44, 55}}},
          {some_ids(12, 90), {{6}, {7}}}};
}

// As few-shot prompts: a long common beginning, and one prompt that was cut at its start.
std::vector<ScoreRequest> common_beginnings() {
  std::vector<ScoreRequest> requests = mixed_requests();
  for (ScoreRequest& request : requests) {
    std::vector<TokenId> prompt = some_ids(70, 11);
    prompt.insert(prompt.end(), request.prompt.begin(), request.prompt.end());
    request.prompt = std::move(prompt);
  }
  requests[2].prompt.erase(requests[2].prompt.begin());
  requests.push_back({some_ids(71, 11), {{4, 5}, {6}}});
  return requests;
}

}  // namespace

TEST_CASE("scores of shared prompts equal one full pass per continuation") {
  const std::string family = GENERATE("llama", "mistral", "rwkv", "rwkv7");
  const Transformer model = small_model(family);
  const auto requests = mixed_requests();
  for (const int64_t batch_tokens : {1, 40, 4096}) {
    const auto scores = score_requests(model, requests, {.batch_tokens = batch_tokens});
    REQUIRE(scores.size() == requests.size());
    for (size_t r = 0; r < requests.size(); ++r) {
      REQUIRE(scores[r].size() == requests[r].continuations.size());
      for (size_t c = 0; c < scores[r].size(); ++c) {
        const SequenceScore expected =
            slow_score(model, requests[r].prompt, requests[r].continuations[c]);
        CAPTURE(family, batch_tokens, r, c);
        CHECK(scores[r][c].log_prob == Approx(expected.log_prob).epsilon(1e-5));
        CHECK(scores[r][c].greedy == expected.greedy);
      }
    }
  }
}

TEST_CASE("what prompts begin with is computed once and changes no score") {
  const auto requests = common_beginnings();
  const CommonPrefix common = common_prefix(requests);
  CHECK(common.ids == some_ids(70, 11));
  CHECK(common.shared == std::vector<int64_t>{70, 70, 0, 70, 70, 70});
  CHECK(common_prefix(mixed_requests()).ids.empty());
  const int64_t window = GENERATE(0, 20, 75);
  ModelConfig config = tiny_config();
  config.layer_window.assign(3, window);
  config.layer_window[1] = 0;
  const Transformer plain = tiny_model();
  Transformer model(config, at::kFloat, at::kCPU);
  const at::NoGradGuard no_gradients;
  const auto from = plain.named_tensors(), to = model.named_tensors();
  for (size_t i = 0; i < from.size(); ++i) at::Tensor(to[i].tensor).copy_(from[i].tensor);
  int64_t reported = 0;
  const auto scores = score_requests(model, requests,
                                     {.batch_tokens = GENERATE(1, 60, 4096),
                                      .progress = [&](int64_t tokens) { reported += tokens; }});
  CHECK(reported == computed_tokens(requests, config));
  for (size_t r = 0; r < requests.size(); ++r) {
    for (size_t c = 0; c < scores[r].size(); ++c) {
      const auto& request = requests[r];
      CAPTURE(window, r, c);
      CHECK(scores[r][c].log_prob ==
            Approx(slow_score(model, request.prompt, request.continuations[c]).log_prob)
                .epsilon(1e-5));
    }
  }
}

TEST_CASE("a recurrent model continues the state of what prompts begin with") {
  const std::string family = GENERATE("rwkv", "rwkv7");
  const Transformer model = small_model(family);
  const auto requests = common_beginnings();
  for (const int64_t batch_tokens : {1, 60, 4096}) {
    const auto scores = score_requests(model, requests, {.batch_tokens = batch_tokens});
    for (size_t r = 0; r < requests.size(); ++r) {
      for (size_t c = 0; c < scores[r].size(); ++c) {
        const auto& request = requests[r];
        CAPTURE(family, batch_tokens, r, c);
        CHECK(scores[r][c].log_prob ==
              Approx(slow_score(model, request.prompt, request.continuations[c]).log_prob)
                  .epsilon(1e-5));
      }
    }
  }
}

TEST_CASE("prompts are shared only among sequences with the same rotary frequencies") {
  const std::string type = GENERATE("longrope", "dynamic");
  const int64_t length = GENERATE(18, 87);  // between the lengths of some continuations
  const Transformer model = model_by_formula(length_config(type, length));
  const auto requests = GENERATE(true, false) ? mixed_requests() : common_beginnings();
  for (const int64_t batch_tokens : {1, 60, 4096}) {
    int64_t reported = 0;
    const auto scores = score_requests(
        model, requests,
        {.batch_tokens = batch_tokens, .progress = [&](int64_t tokens) { reported += tokens; }});
    CHECK(reported == computed_tokens(requests, model.config()));
    REQUIRE(scores.size() == requests.size());
    for (size_t r = 0; r < requests.size(); ++r) {
      REQUIRE(scores[r].size() == requests[r].continuations.size());
      for (size_t c = 0; c < scores[r].size(); ++c) {
        const auto& request = requests[r];
        CAPTURE(type, length, batch_tokens, r, c);
        CHECK(scores[r][c].log_prob ==
              Approx(slow_score(model, request.prompt, request.continuations[c]).log_prob)
                  .epsilon(1e-5));
      }
    }
  }
}

TEST_CASE("a sliding window hides the same keys in shared prompts as in plain sequences") {
  ModelConfig config = tiny_config("mistral");
  config.layer_window.assign(3, 6);
  const Transformer plain = tiny_model(at::kFloat, "mistral");
  Transformer model(config, at::kFloat, at::kCPU);
  const at::NoGradGuard no_gradients;
  const auto from = plain.named_tensors(), to = model.named_tensors();
  for (size_t i = 0; i < from.size(); ++i) at::Tensor(to[i].tensor).copy_(from[i].tensor);
  const auto requests = mixed_requests();
  const auto scores = score_requests(model, requests, {});
  double change = 0;
  for (size_t r = 0; r < requests.size(); ++r) {
    for (size_t c = 0; c < scores[r].size(); ++c) {
      const auto& request = requests[r];
      CHECK(scores[r][c].log_prob ==
            Approx(slow_score(model, request.prompt, request.continuations[c]).log_prob)
                .epsilon(1e-5));
      change += std::abs(scores[r][c].log_prob -
                         slow_score(plain, request.prompt, request.continuations[c]).log_prob);
    }
  }
  CHECK(change > 0.1);  // the window matters at all
}

TEST_CASE("empty requests are refused, and a stop request ends scoring") {
  const Transformer model = tiny_model();
  CHECK_THROWS_WITH(score_requests(model, {{{}, {{1}}}}, {}), Catch::Contains("no tokens"));
  CHECK_THROWS_WITH(score_requests(model, {{{4}, {{}}}}, {}), Catch::Contains("no tokens"));
  CHECK_THROWS_WITH(score_requests(model, {{{4}, {}}}, {}), Catch::Contains("nothing to score"));
  request_stop(15);
  CHECK_THROWS_AS(score_requests(model, mixed_requests(), {}), Error);
  clear_stop_request();
  CHECK(computed_tokens({{some_ids(10, 1), {{5}, {6}}}}, model.config()) == 10);
}
