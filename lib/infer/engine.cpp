// SPDX-License-Identifier: Apache-2.0
#include "infer/engine.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "infer/pass.h"
#include "infer/sampler.h"

namespace gradus {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// A request that has a slot.
struct Running {
  uint64_t number = 0;
  GenerationRequest request;
  GenerationCallback callback;
  Sampler sampler;
  int64_t slot = 0;
  int64_t cached = 0;  // tokens of the sequence in the cache
  int64_t generated = 0;
  std::vector<int32_t> pending;  // tokens that are not in the cache yet
  bool finished = false;
};

void report(Running& running, FinishReason reason, const GeneratedToken* token = nullptr,
            const std::string& error = {}) {
  running.callback({.token = token, .finish = reason, .error = error});
  running.finished = reason != FinishReason::kNone;
}

bool is_stop(const GenerationRequest& request, int32_t id) {
  return std::find(request.stop_tokens.begin(), request.stop_tokens.end(), id) !=
         request.stop_tokens.end();
}

// One more token of a running request, from its row of logits.
void take_token(Running& running, std::span<const float> logits) {
  const int32_t id = running.sampler.next(logits);
  const GeneratedToken token = describe_token(logits, id, running.request.top_logprobs);
  ++running.generated;
  if (is_stop(running.request, id)) return report(running, FinishReason::kStop, &token);
  report(running, FinishReason::kNone, &token);
  if (running.generated >= running.request.max_tokens)
    return report(running, FinishReason::kLength);
  running.pending = {id};
}

void check_request(const GenerationRequest& request, int64_t context_length, int64_t vocab_size) {
  if (request.prompt.empty()) throw Error("the prompt has no tokens");
  if (request.max_tokens < 1)
    throw Error({.what = "max_tokens must be at least 1", .found = cat(request.max_tokens)});
  const auto length = static_cast<int64_t>(request.prompt.size());
  if (length + request.max_tokens > context_length) {
    throw Error({.what = "prompt and answer do not fit the context",
                 .expected = cat("at most ", context_length, " tokens"),
                 .found = cat(length, " prompt tokens + max_tokens ", request.max_tokens)});
  }
  for (const int32_t id : request.prompt) {
    if (id < 0 || id >= vocab_size)
      throw Error({.what = "a prompt token is outside the vocabulary", .found = cat(id)});
  }
}

struct Waiting {
  uint64_t number = 0;
  GenerationRequest request;
  GenerationCallback callback;
};

}  // namespace

// The loop's own data is touched by its thread only; the mutex guards what callers share.
struct Engine::State {
  State(std::shared_ptr<const Transformer> shared_model, const EngineOptions& chosen)
      : model(std::move(shared_model)),
        options(chosen),
        cache(model->config(), {.slots = chosen.max_sequences, .capacity = chosen.context_length},
              model->dtype(), model->device()) {
    for (int64_t slot = chosen.max_sequences - 1; slot >= 0; --slot) free_slots.push_back(slot);
  }

  void loop();
  void admit();
  bool apply_cancellations();
  std::vector<PassSegment> next_pass(std::vector<Running*>* owners);
  void step(const std::vector<PassSegment>& segments, const std::vector<Running*>& owners);
  void fail_all(const std::string& message);
  void retire();
  void publish(double step_seconds);

  std::shared_ptr<const Transformer> model;
  EngineOptions options;
  KvCache cache;
  std::vector<std::unique_ptr<Running>> running;
  std::vector<int64_t> free_slots;

  std::mutex mutex;
  std::condition_variable wake;
  std::deque<Waiting> waiting;
  std::set<uint64_t> cancelled;
  bool stopping = false;
  uint64_t next_number = 1;
  EngineStatus status;
  Clock::time_point last_step = Clock::now();
  std::thread thread;
};

// Waiting requests get free slots in the order of arrival.
void Engine::State::admit() {
  const std::lock_guard lock(mutex);
  while (!waiting.empty() && !free_slots.empty()) {
    Waiting next = std::move(waiting.front());
    waiting.pop_front();
    auto entry = std::make_unique<Running>(Running{.number = next.number,
                                                   .request = std::move(next.request),
                                                   .callback = std::move(next.callback),
                                                   .sampler = Sampler({}),
                                                   .pending = {}});
    entry->sampler = Sampler(entry->request.sampling);
    entry->slot = free_slots.back();
    free_slots.pop_back();
    entry->pending = entry->request.prompt;
    running.push_back(std::move(entry));
  }
}

// Whether the engine stops; `stopping` is read once, so that everything is cancelled when it is
// set.
bool Engine::State::apply_cancellations() {
  std::set<uint64_t> numbers;
  std::deque<Waiting> dropped;
  bool stop = false;
  {
    const std::lock_guard lock(mutex);
    stop = stopping;
    numbers.swap(cancelled);
    for (auto it = waiting.begin(); it != waiting.end();) {
      const bool gone = stop || numbers.contains(it->number);
      if (gone) dropped.push_back(std::move(*it));
      it = gone ? waiting.erase(it) : it + 1;
    }
  }
  for (const Waiting& request : dropped)
    request.callback({.token = nullptr, .finish = FinishReason::kCancelled, .error = {}});
  for (const auto& entry : running) {
    if (stop || numbers.contains(entry->number)) report(*entry, FinishReason::kCancelled);
  }
  retire();
  return stop;
}

// Every decoding request's token, and prompt chunks up to the budget, oldest first.
std::vector<PassSegment> Engine::State::next_pass(std::vector<Running*>* owners) {
  std::vector<PassSegment> segments;
  int64_t budget = options.prefill_tokens;
  for (const auto& entry : running) {
    auto count = static_cast<int64_t>(entry->pending.size());
    const bool prefill = entry->generated == 0;
    if (prefill) count = std::min(count, budget);
    if (count == 0) continue;
    if (prefill) budget -= count;
    segments.push_back({.slot = entry->slot,
                        .past = entry->cached,
                        .ids = {entry->pending.begin(), entry->pending.begin() + count},
                        .length = static_cast<int64_t>(entry->request.prompt.size())});
    owners->push_back(entry.get());
  }
  return segments;
}

void Engine::State::step(const std::vector<PassSegment>& segments,
                         const std::vector<Running*>& owners) {
  const at::Tensor logits = run_pass(*model, cache, segments);  // one row per segment
  const int64_t vocabulary = logits.size(1);
  for (size_t i = 0; i < owners.size(); ++i) {
    Running& entry = *owners[i];
    const auto count = static_cast<int64_t>(segments[i].ids.size());
    entry.cached += count;
    entry.pending.erase(entry.pending.begin(), entry.pending.begin() + count);
    if (!entry.pending.empty()) continue;  // the prompt goes on in the next step
    const float* row = logits.const_data_ptr<float>() + static_cast<int64_t>(i) * vocabulary;
    try {
      take_token(entry, {row, static_cast<size_t>(vocabulary)});
    } catch (const std::exception& error) {
      report(entry, FinishReason::kError, nullptr, error.what());
    }
  }
}

void Engine::State::fail_all(const std::string& message) {
  log_error("engine", message);
  for (const auto& entry : running) report(*entry, FinishReason::kError, nullptr, message);
}

void Engine::State::retire() {
  std::erase_if(running, [this](const std::unique_ptr<Running>& entry) {
    if (entry->finished) free_slots.push_back(entry->slot);
    return entry->finished;
  });
}

void Engine::State::publish(double step_seconds) {
  const std::lock_guard lock(mutex);
  status.running = static_cast<int64_t>(running.size());
  status.cached_tokens = 0;
  for (const auto& entry : running) status.cached_tokens += entry->cached;
  if (step_seconds < 0) return;
  ++status.steps_total;
  status.last_step_seconds = step_seconds;
  last_step = Clock::now();
}

void Engine::State::loop() {
  for (;;) {
    {
      std::unique_lock lock(mutex);
      wake.wait(lock, [this] {
        return stopping || !running.empty() || !waiting.empty() || !cancelled.empty();
      });
    }
    const bool stop = apply_cancellations();
    publish(-1);
    if (stop) return;
    {
      const std::lock_guard lock(mutex);
      if (running.empty()) last_step = Clock::now();  // was idle, not stuck
    }
    admit();
    std::vector<Running*> owners;
    const std::vector<PassSegment> segments = next_pass(&owners);
    if (segments.empty()) continue;
    const auto start = Clock::now();
    int64_t prompt_tokens = 0, before = 0;
    for (size_t i = 0; i < owners.size(); ++i) {
      before += owners[i]->generated;
      if (owners[i]->generated == 0) prompt_tokens += static_cast<int64_t>(segments[i].ids.size());
    }
    try {
      step(segments, owners);
    } catch (const std::exception& error) {
      fail_all(error.what());
    }
    int64_t generated = 0;
    for (const Running* owner : owners) generated += owner->generated;
    {
      const std::lock_guard lock(mutex);
      status.prompt_tokens_total += prompt_tokens;
      status.generated_tokens_total += generated - before;
    }
    retire();
    publish(seconds_since(start));
  }
}

Engine::Engine(std::shared_ptr<const Transformer> model, const EngineOptions& options) {
  if (options.context_length > model->config().max_position_embeddings) {
    throw Error({.what = "context_length is larger than the model allows",
                 .expected = cat("at most ", model->config().max_position_embeddings),
                 .found = cat(options.context_length)});
  }
  state_ = std::make_unique<State>(std::move(model), options);
  state_->thread = std::thread([this] { state_->loop(); });
}

Engine::~Engine() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->wake.notify_all();
  state_->thread.join();
}

uint64_t Engine::submit(GenerationRequest request, GenerationCallback callback) {
  std::vector<Submission> one;
  one.push_back({std::move(request), std::move(callback)});
  const std::vector<uint64_t> numbers = submit(std::move(one));
  return numbers.empty() ? 0 : numbers.front();
}

std::vector<uint64_t> Engine::submit(std::vector<Submission> requests) {
  for (const Submission& submission : requests)
    check_request(submission.request, state_->options.context_length,
                  state_->model->config().vocab_size);
  std::vector<uint64_t> numbers;
  {
    const std::lock_guard lock(state_->mutex);
    const auto queued = static_cast<int64_t>(state_->waiting.size() + requests.size());
    if (state_->stopping || queued > state_->options.max_queued) return {};
    for (Submission& submission : requests) {
      numbers.push_back(state_->next_number++);
      state_->waiting.push_back(
          {numbers.back(), std::move(submission.request), std::move(submission.callback)});
    }
  }
  state_->wake.notify_all();
  return numbers;
}

void Engine::cancel(uint64_t request) {
  {
    const std::lock_guard lock(state_->mutex);
    state_->cancelled.insert(request);
  }
  state_->wake.notify_all();
}

EngineStatus Engine::status() const {
  const std::lock_guard lock(state_->mutex);
  EngineStatus status = state_->status;
  status.queued = static_cast<int64_t>(state_->waiting.size());
  status.cache_capacity_tokens = state_->options.max_sequences * state_->options.context_length;
  status.cache_bytes = state_->cache.bytes();
  status.seconds_since_last_step = seconds_since(state_->last_step);
  return status;
}

const EngineOptions& Engine::options() const { return state_->options; }

}  // namespace gradus
