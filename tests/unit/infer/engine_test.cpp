// SPDX-License-Identifier: Apache-2.0
#include "infer/engine.h"

#include <ATen/ops/allclose.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/tensor.h>

#include <atomic>
#include <future>

#include "base/error.h"
#include "infer/pass.h"
#include "support/catch.h"
#include "support/family_configs.h"
#include "support/generate.h"
#include "support/tiny_model.h"

using namespace gradus;

namespace {

// Logits [T, V] of a whole sequence without a cache.
at::Tensor full_logits(const Transformer& model, const std::vector<int32_t>& ids) {
  const at::NoGradGuard no_gradients;
  const auto T = static_cast<int64_t>(ids.size());
  PackedAttention attention({0, T});
  const at::Tensor flat = at::tensor(std::vector<int64_t>(ids.begin(), ids.end()), at::kLong);
  return model.logits(model.forward(flat, at::arange(T, at::kLong), attention)).to(at::kFloat);
}

std::vector<int32_t> some_ids(int64_t count, int32_t start = 3) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i)
    ids.push_back(static_cast<int32_t>((start + 37 * i) % 150 + 3));
  return ids;
}

struct Collected {
  std::vector<int32_t> ids;
  std::vector<float> logprobs;
  FinishReason reason = FinishReason::kNone;
};

std::future<Collected> submit(Engine& engine, GenerationRequest request) {
  auto collected = std::make_shared<Collected>();
  auto promise = std::make_shared<std::promise<Collected>>();
  const uint64_t number =
      engine.submit(std::move(request), [collected, promise](const GenerationEvent& event) {
        if (event.token) {
          collected->ids.push_back(event.token->id);
          collected->logprobs.push_back(event.token->logprob);
        }
        if (event.finish == FinishReason::kNone) return;
        collected->reason = event.finish;
        promise->set_value(*collected);
      });
  REQUIRE(number != 0);
  return promise->get_future();
}

GenerationRequest greedy(std::vector<int32_t> prompt, int64_t max_tokens) {
  GenerationRequest request;
  request.prompt = std::move(prompt);
  request.max_tokens = max_tokens;
  request.sampling.temperature = 0;
  return request;
}

}  // namespace

TEST_CASE("cached decoding equals the full forward pass") {
  const Transformer model = tiny_model();
  const std::vector<int32_t> ids = some_ids(40);
  const at::Tensor expected = full_logits(model, ids);
  KvCache cache(model.config(), {.slots = 2, .capacity = 64}, model.dtype(), model.device());
  // A prompt chunk, a second chunk on top of it, then token by token.
  const at::Tensor first =
      run_pass(model, cache,
               {{.slot = 1, .past = 0, .ids = {ids.begin(), ids.begin() + 10}, .all_rows = true}});
  CHECK(at::allclose(first, expected.narrow(0, 0, 10), 1e-4, 1e-4));
  const at::Tensor second = run_pass(
      model, cache,
      {{.slot = 1, .past = 10, .ids = {ids.begin() + 10, ids.begin() + 25}, .all_rows = true}});
  CHECK(at::allclose(second, expected.narrow(0, 10, 15), 1e-4, 1e-4));
  for (int64_t t = 25; t < 40; ++t) {
    const at::Tensor row =
        run_pass(model, cache, {{.slot = 1, .past = t, .ids = {ids[static_cast<size_t>(t)]}}});
    CHECK(at::allclose(row, expected.narrow(0, t, 1), 1e-4, 1e-4));
  }
}

TEST_CASE("chunks of several sequences in one pass equal full passes, windows too") {
  ModelConfig config = tiny_config("mistral");
  config.layer_window = {6, 0, 9};
  const Transformer plain = tiny_model(at::kFloat, "mistral");
  Transformer model(config, at::kFloat, at::kCPU);
  const at::NoGradGuard no_gradients;
  const auto from = plain.named_tensors(), to = model.named_tensors();
  for (size_t i = 0; i < from.size(); ++i) at::Tensor(to[i].tensor).copy_(from[i].tensor);
  const std::vector<int32_t> a = some_ids(20, 3), b = some_ids(23, 50);
  KvCache cache(model.config(), {.slots = 3, .capacity = 32}, model.dtype(), model.device());
  run_prefill(model, cache,
              {{.slot = 2, .past = 0, .ids = {a.begin(), a.begin() + 8}},
               {.slot = 0, .past = 0, .ids = {b.begin(), b.begin() + 11}}});
  const at::Tensor rows =
      run_pass(model, cache,
               {{.slot = 0, .past = 11, .ids = {b.begin() + 11, b.end()}, .all_rows = true},
                {.slot = 2, .past = 8, .ids = {a.begin() + 8, a.end()}, .all_rows = true}});
  CHECK(at::allclose(rows.narrow(0, 0, 12), full_logits(model, b).narrow(0, 11, 12), 1e-4, 1e-4));
  CHECK(at::allclose(rows.narrow(0, 12, 12), full_logits(model, a).narrow(0, 8, 12), 1e-4, 1e-4));
}

TEST_CASE("rotary frequencies are those of a token's own sequence") {
  const Transformer model = model_by_formula(length_config(GENERATE("longrope", "dynamic"), 24));
  KvCache cache(model.config(), {.slots = 2, .capacity = 64}, model.dtype(), model.device());
  const std::vector<int32_t> ids = some_ids(40);
  const auto part = [&](int64_t first, int64_t last) {
    return std::vector<int32_t>(ids.begin() + first, ids.begin() + last);
  };
  SECTION("a prompt in parts has one length") {
    run_prefill(model, cache, {{.slot = 0, .past = 0, .ids = part(0, 10), .length = 40}});
    const at::Tensor rows =
        run_pass(model, cache,
                 {{.slot = 0, .past = 10, .ids = part(10, 40), .all_rows = true, .length = 40}});
    CHECK(at::allclose(rows, full_logits(model, ids).narrow(0, 10, 30), 1e-4, 1e-4));
  }
  SECTION("a neighbour one position on changes nothing") {
    run_prefill(
        model, cache,
        {{.slot = 0, .past = 0, .ids = part(0, 23)}, {.slot = 1, .past = 0, .ids = part(0, 24)}});
    const at::Tensor rows = run_pass(model, cache,
                                     {{.slot = 0, .past = 23, .ids = part(23, 24)},
                                      {.slot = 1, .past = 24, .ids = part(24, 25)}});
    const at::Tensor alone = run_pass(model, cache, {{.slot = 0, .past = 23, .ids = part(23, 24)}});
    CHECK(at::allclose(rows.narrow(0, 0, 1), alone, 1e-5, 1e-5));
    CHECK(at::allclose(alone, full_logits(model, part(0, 24)).narrow(0, 23, 1), 1e-4, 1e-4));
  }
}

TEST_CASE("the engine cuts prompts whose length counts, and gives each its own numbers") {
  auto model = std::make_shared<const Transformer>(model_by_formula(length_config("longrope", 24)));
  Engine engine(model, {.max_sequences = 3, .context_length = 96, .prefill_tokens = 16});
  std::vector<GenerationRequest> requests;
  std::vector<std::future<Collected>> answers;
  for (const int64_t length : {22, 23, 24, 25, 50}) {
    requests.push_back(greedy(some_ids(length), 4));
    requests.back().top_logprobs = 0;
    answers.push_back(submit(engine, requests.back()));
  }
  for (size_t i = 0; i < requests.size(); ++i) {
    CAPTURE(i);
    const Collected collected = answers[i].get();
    const auto alone = generate(*model, requests[i]);
    REQUIRE(collected.ids.size() == 4);
    for (size_t t = 0; t < 4; ++t) {
      CHECK(collected.ids[t] == alone[t].id);
      CHECK(collected.logprobs[t] == Approx(alone[t].logprob).margin(1e-4));
    }
  }
}

TEST_CASE("a copied prefix goes on as if it had been computed") {
  const std::string family = GENERATE("llama", "rwkv", "rwkv7");
  CAPTURE(family);
  const Transformer model = small_model(family);
  const std::vector<int32_t> ids = some_ids(20);
  KvCache cache(model.config(), {.slots = 3, .capacity = 32}, model.dtype(), model.device());
  run_prefill(model, cache, {{.slot = 0, .past = 0, .ids = {ids.begin(), ids.begin() + 9}}});
  cache.copy_prefix(0, 2, 9);
  const at::Tensor rows =
      run_pass(model, cache,
               {{.slot = 2, .past = 9, .ids = {ids.begin() + 9, ids.end()}, .all_rows = true}});
  CHECK(at::allclose(rows, full_logits(model, ids).narrow(0, 9, 11), 1e-4, 2e-4));
  if (family != "llama")  // its state has gone on
    CHECK_THROWS_WITH(cache.copy_prefix(2, 1, 9), Catch::Contains("cannot go back"));
}

TEST_CASE("the engine answers many requests as if each were alone") {
  const std::string family = GENERATE("llama", "rwkv", "rwkv7");
  CAPTURE(family);
  auto model = std::make_shared<const Transformer>(small_model(family));
  Engine engine(model,
                {.max_sequences = 3, .context_length = 96, .prefill_tokens = 16, .max_queued = 64});
  std::vector<std::future<Collected>> answers;
  for (int i = 0; i < 9; ++i) {
    GenerationRequest request = greedy(some_ids(5 + 7 * i, i), 12);
    request.sampling.temperature = i % 2;
    request.sampling.seed = static_cast<uint64_t>(i);
    answers.push_back(submit(engine, request));
  }
  for (int i = 0; i < 9; ++i) {
    GenerationRequest request = greedy(some_ids(5 + 7 * i, i), 12);
    request.sampling.temperature = i % 2;
    request.sampling.seed = static_cast<uint64_t>(i);
    const Collected collected = answers[static_cast<size_t>(i)].get();
    std::vector<int32_t> alone;
    for (const GeneratedToken& token : generate(*model, request)) alone.push_back(token.id);
    CHECK(collected.reason == FinishReason::kLength);
    CAPTURE(i);
    CHECK(collected.ids == alone);
  }
  CHECK(engine.status().generated_tokens_total == 9 * 12);
}

TEST_CASE("a stop token ends the answer and is reported") {
  auto model = std::make_shared<const Transformer>(tiny_model());
  const auto tokens = generate(*model, greedy(some_ids(6), 8));
  GenerationRequest request = greedy(some_ids(6), 8);
  request.stop_tokens = {tokens[2].id};
  Engine engine(model, {.max_sequences = 1, .context_length = 64});
  const Collected collected = submit(engine, request).get();
  CHECK(collected.reason == FinishReason::kStop);
  CHECK(collected.ids.back() == tokens[2].id);
}

TEST_CASE("cancelling frees the slot for the next request") {
  auto model = std::make_shared<const Transformer>(tiny_model());
  Engine engine(model, {.max_sequences = 1, .context_length = 250});
  std::promise<void> started;
  std::promise<FinishReason> finished;
  std::atomic<bool> first = true;
  const uint64_t number =
      engine.submit(greedy(some_ids(4), 240), [&](const GenerationEvent& event) {
        if (first.exchange(false)) started.set_value();
        if (event.finish != FinishReason::kNone) finished.set_value(event.finish);
      });
  auto queued = submit(engine, greedy(some_ids(4), 3));
  started.get_future().wait();
  engine.cancel(number);
  CHECK(finished.get_future().get() == FinishReason::kCancelled);
  CHECK(queued.get().reason == FinishReason::kLength);
}

TEST_CASE("an engine that goes away gives every request its last callback") {
  auto model = std::make_shared<const Transformer>(tiny_model());
  auto engine =
      std::make_unique<Engine>(model, EngineOptions{.max_sequences = 1, .context_length = 250});
  std::promise<void> started, cancelling;
  std::atomic<bool> first = true;
  const uint64_t running =
      engine->submit(greedy(some_ids(4), 240), [&](const GenerationEvent& event) {
        if (first.exchange(false)) started.set_value();
        if (event.finish == FinishReason::kNone) return;
        cancelling.set_value();  // the engine's end begins while this cancellation is under way
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
      });
  started.get_future().wait();
  auto waiting = submit(*engine, greedy(some_ids(4), 3));
  engine->cancel(running);
  cancelling.get_future().wait();
  engine.reset();
  REQUIRE(waiting.wait_for(std::chrono::seconds(0)) == std::future_status::ready);
  CHECK(waiting.get().reason == FinishReason::kCancelled);
}

TEST_CASE("requests that cannot run are refused, and a full queue returns 0") {
  auto model = std::make_shared<const Transformer>(tiny_model());
  Engine engine(model, {.max_sequences = 1, .context_length = 32, .max_queued = 0});
  const auto ignore = [](const GenerationEvent&) {};
  CHECK_THROWS_WITH(engine.submit(greedy({}, 4), ignore), Catch::Contains("no tokens"));
  CHECK_THROWS_WITH(engine.submit(greedy(some_ids(30), 4), ignore), Catch::Contains("do not fit"));
  CHECK_THROWS_WITH(engine.submit(greedy({99999}, 4), ignore),
                    Catch::Contains("outside the vocabulary"));
  CHECK(engine.submit(greedy({5}, 4), ignore) == 0);
}
