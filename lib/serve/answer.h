// SPDX-License-Identifier: Apache-2.0
// One generation request from its prompts to the last byte of its response. Everything here runs on
// the exchange's sequence; the engine's thread only posts to it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "serve/http/service.h"
#include "serve/metrics.h"
#include "serve/protocol/answer_format.h"
#include "serve/protocol/api_error.h"
#include "serve/protocol/request.h"
#include "serve/served_model.h"

namespace gradus {

struct AnswerPlan {
  AnswerOptions options;
  std::vector<std::vector<int32_t>> prompts;
  std::unique_ptr<AnswerFormat> format;
  double timeout_seconds = 600;
};

class Answer : public std::enable_shared_from_this<Answer> {
 public:
  // Model and metrics must outlive the exchange's sequence.
  Answer(std::shared_ptr<Exchange> exchange, const ServedModel& model, Metrics& metrics,
         AnswerPlan plan);

  // Throws ApiError when the request cannot run; nothing was sent then.
  void start();
  // Ends it with an error: a response, or an event in a stream that has begun. Any thread.
  void abort(const ApiError& error);

 private:
  struct Choice {
    AnswerText text;
    uint64_t number = 0;    // of the engine's request
    ChoiceText whole = {};  // what was released so far, when not streaming
    size_t characters = 0;  // released
    int64_t tokens = 0;
    std::chrono::steady_clock::time_point last_token = {};
    bool done = false;
  };
  // A copy of an engine's event, to travel between threads.
  struct Event {
    std::optional<GeneratedToken> token;
    FinishReason finish;
    std::string error;
  };

  GenerationRequest generation(const std::vector<int32_t>& prompt, size_t choice) const;
  int64_t answer_tokens(int64_t prompt_tokens) const;
  GenerationCallback callback(size_t choice);
  void submit(std::vector<Submission> requests);
  void take(size_t choice, const Event& event);
  void note_token(Choice& choice);
  void give(Choice& choice, AnswerPiece piece, const std::string& finish_reason);
  void finish_choice(Choice& choice, const std::string& finish_reason);
  void finish();
  void fail(const ApiError& error);
  void release(Outcome outcome);
  void cancel_all();
  Usage usage() const;

  std::shared_ptr<Exchange> exchange_;
  const ServedModel& model_;
  Metrics& metrics_;
  AnswerPlan plan_;
  uint64_t seed_;
  std::vector<Choice> choices_;
  bool over_ = false;
};

}  // namespace gradus
