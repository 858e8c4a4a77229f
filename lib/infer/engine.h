// SPDX-License-Identifier: Apache-2.0
// Inference: many requests at once through one batching loop over a key/value cache of fixed size.
//
// Every step runs one forward pass over the next token of each running request together with a
// bounded chunk of prompt tokens of waiting ones (chunked prefill), so that long prompts do not
// stall others. All memory is taken when the engine is made. Requests are plain token ids: text,
// templates and stop strings belong to the caller (serve, eval).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "infer/request.h"
#include "model/transformer.h"

namespace gradus {

struct EngineOptions {
  int64_t max_sequences = 8;      // running at once: slots of the cache
  int64_t context_length = 2048;  // prompt + answer of one sequence
  int64_t prefill_tokens = 512;   // prompt tokens per step, over all requests
  int64_t max_queued = 64;        // waiting requests; submit() beyond it is refused
};

struct EngineStatus {
  int64_t running = 0, queued = 0;
  int64_t cached_tokens = 0, cache_capacity_tokens = 0, cache_bytes = 0;
  int64_t prompt_tokens_total = 0, generated_tokens_total = 0, steps_total = 0;
  double last_step_seconds = 0;        // and when it ended, for liveness
  double seconds_since_last_step = 0;  // or since work arrived, if later
};

struct Submission {
  GenerationRequest request;
  GenerationCallback callback;
};

class Engine {
 public:
  // The model is shared and never changed.
  Engine(std::shared_ptr<const Transformer> model, const EngineOptions& options);
  ~Engine();  // everything that has not ended is cancelled, with its last callback
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Queues a request and returns its number, or 0 when the queue is full. Throws gradus::Error for
  // a request that can never run (empty, too long, ids outside the vocabulary). Thread-safe.
  uint64_t submit(GenerationRequest request, GenerationCallback callback);
  // Several at once, which start in the same step where slots are free: all are queued, or none
  // and the result is empty.
  std::vector<uint64_t> submit(std::vector<Submission> requests);
  // The request ends with kCancelled within one step, wherever it is. Thread-safe; unknown or
  // finished numbers are ignored.
  void cancel(uint64_t request);
  EngineStatus status() const;

  const EngineOptions& options() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace gradus
