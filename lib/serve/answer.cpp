// SPDX-License-Identifier: Apache-2.0
#include "serve/answer.h"

#include <algorithm>
#include <random>

#include "base/error.h"
#include "base/log.h"
#include "base/rng.h"
#include "serve/responses.h"
#include "text/unicode.h"

namespace gradus {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kChoiceStream = 0x63686f696365;  // draws the seeds of further choices

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

uint64_t random_seed() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

}  // namespace

Answer::Answer(std::shared_ptr<Exchange> exchange, const ServedModel& model, Metrics& metrics,
               AnswerPlan plan)
    : exchange_(std::move(exchange)),
      model_(model),
      metrics_(metrics),
      plan_(std::move(plan)),
      seed_(plan_.options.seed ? *plan_.options.seed : random_seed()) {
  const auto keep =
      plan_.options.top_logprobs >= 0 ? AnswerText::Keep::kTokens : AnswerText::Keep::kTextOnly;
  const size_t count = plan_.prompts.size() * static_cast<size_t>(plan_.options.n);
  for (size_t i = 0; i < count; ++i) {
    choices_.push_back({.text = AnswerText(*model.tools.tokenizer, plan_.options.stop, keep)});
    choices_.back().whole.index = static_cast<int64_t>(i);
    choices_.back().whole.logprobs = plan_.options.top_logprobs >= 0;
  }
}

// How long the answer may get: as asked for, else what fits.
int64_t Answer::answer_tokens(int64_t prompt_tokens) const {
  const int64_t context = model_.engine->options().context_length;
  if (prompt_tokens > model_.max_prompt_tokens || prompt_tokens >= context)
    throw ApiError(
        {.message = cat("the prompt has ", prompt_tokens, " tokens; at most ",
                        std::min(model_.max_prompt_tokens, context - 1), " fit the context"),
         .code = "context_length_exceeded"});
  const int64_t room = context - prompt_tokens;
  if (!plan_.options.max_tokens) return std::min(room, model_.max_answer_tokens);
  const int64_t wanted = *plan_.options.max_tokens;
  if (wanted > model_.max_answer_tokens)
    throw ApiError(
        {.message = cat("max_tokens: at most ", model_.max_answer_tokens, ", found ", wanted),
         .param = "max_tokens"});
  if (wanted > room)
    throw ApiError({.message = cat("prompt (", prompt_tokens, " tokens) and max_tokens (", wanted,
                                   ") exceed the context of ", context, " tokens"),
                    .param = "max_tokens",
                    .code = "context_length_exceeded"});
  return wanted;
}

GenerationRequest Answer::generation(const std::vector<int32_t>& prompt, size_t choice) const {
  GenerationRequest request{.prompt = prompt,
                            .max_tokens = answer_tokens(static_cast<int64_t>(prompt.size())),
                            .sampling = plan_.options.sampling,
                            .stop_tokens = model_.stop_tokens,
                            .top_logprobs = plan_.options.top_logprobs};
  request.sampling.seed = choice == 0 ? seed_ : random_bits(seed_, kChoiceStream, choice);
  return request;
}

void Answer::start() {
  std::vector<Submission> requests;
  for (size_t i = 0; i < choices_.size(); ++i) {
    const auto& prompt = plan_.prompts[i / static_cast<size_t>(plan_.options.n)];
    requests.push_back({generation(prompt, i), callback(i)});
  }
  exchange_->on_close([self = shared_from_this()] {
    self->cancel_all();
    self->release(Outcome::kCancelled);
  });
  try {
    submit(std::move(requests));
  } catch (...) {
    over_ = true;
    throw;
  }
  exchange_->after(plan_.timeout_seconds, [self = shared_from_this()] {
    self->fail(
        ApiError({.status = 504, .message = "the request took too long", .code = "timeout"}));
  });
  if (!plan_.options.stream) return;
  exchange_->start_stream({.status = 200,
                           .content_type = "text/event-stream; charset=utf-8",
                           .headers = {{"Cache-Control", "no-cache"}}});
  for (const Choice& choice : choices_) {
    const Json opening = plan_.format->opening(choice.whole.index);
    if (!opening.is_null()) exchange_->write(sse_event(opening));
  }
}

GenerationCallback Answer::callback(size_t choice) {
  return [self = shared_from_this(), choice](const GenerationEvent& event) {
    Event copy{.token = {}, .finish = event.finish, .error = event.error};
    if (event.token) copy.token = *event.token;
    self->exchange_->post([self, choice, moved = std::move(copy)] { self->take(choice, moved); });
  };
}

void Answer::submit(std::vector<Submission> requests) {
  const EngineOptions& engine = model_.engine->options();
  const auto count = static_cast<int64_t>(requests.size());
  if (count > engine.max_queued)
    throw ApiError({.message = cat("the request asks for ", count, " answers; at most ",
                                   engine.max_queued, " can wait")});
  std::vector<uint64_t> numbers;
  try {
    numbers = model_.engine->submit(std::move(requests));
  } catch (const Error& error) {
    throw ApiError({.message = error.what()});
  }
  for (size_t i = 0; i < numbers.size(); ++i) choices_[i].number = numbers[i];
  if (!numbers.empty()) return;
  metrics_.request_refused();
  ApiError busy({.status = 429, .message = "the queue is full", .code = "queue_full"});
  busy.retry_after = metrics_.retry_seconds(model_.engine->status(), engine.max_sequences);
  throw busy;
}

void Answer::take(size_t index, const Event& event) {
  Choice& choice = choices_[index];
  if (over_ || choice.done) return;
  if (event.finish == FinishReason::kError) {
    log_error("serve", cat("request ", exchange_->request().id, ": ", event.error));
    return fail(ApiError({.status = 500, .message = "the model failed on this request"}));
  }
  if (event.finish == FinishReason::kCancelled)
    return fail(ApiError({.status = 503, .message = "the server is shutting down"}));
  if (event.token) note_token(choice);
  if (event.finish == FinishReason::kStop) return finish_choice(choice, "stop");
  if (event.finish == FinishReason::kLength) return finish_choice(choice, "length");
  AnswerPiece piece = choice.text.push(*event.token);
  if (!choice.text.stopped()) return give(choice, std::move(piece), "");
  model_.engine->cancel(choice.number);
  give(choice, std::move(piece), "stop");
}

void Answer::note_token(Choice& choice) {
  const auto now = Clock::now();
  if (choice.tokens++ == 0)
    metrics_.first_token(seconds_between(exchange_->request().received, now));
  else
    metrics_.next_token(seconds_between(choice.last_token, now));
  choice.last_token = now;
}

void Answer::finish_choice(Choice& choice, const std::string& finish_reason) {
  AnswerPiece rest = choice.text.finish();
  give(choice, std::move(rest), choice.text.stopped() ? "stop" : finish_reason);
}

void Answer::give(Choice& choice, AnswerPiece piece, const std::string& finish_reason) {
  const bool last = !finish_reason.empty();
  const size_t offset = choice.characters;
  choice.characters += count_code_points(piece.text);
  if (plan_.options.stream) {
    ChoiceText text{.index = choice.whole.index,
                    .piece = std::move(piece),
                    .offset = offset,
                    .finish_reason = "",
                    .logprobs = choice.whole.logprobs};
    if (!text.piece.empty()) exchange_->write(sse_event(plan_.format->chunk(text)));
    text.piece = {};
    text.offset = choice.characters;
    text.finish_reason = finish_reason;
    if (last) exchange_->write(sse_event(plan_.format->chunk(text)));
  } else {
    choice.whole.piece.text += piece.text;
    std::move(piece.tokens.begin(), piece.tokens.end(),
              std::back_inserter(choice.whole.piece.tokens));
    choice.whole.finish_reason = finish_reason;
  }
  choice.done = last;
  const bool all =
      std::all_of(choices_.begin(), choices_.end(), [](const Choice& other) { return other.done; });
  if (all && !over_) finish();
}

void Answer::finish() {
  if (plan_.options.stream) {
    if (plan_.options.include_usage)
      exchange_->write(sse_event(plan_.format->usage_chunk(usage())));
    exchange_->write(kSseDone);
    exchange_->end_stream();
  } else {
    std::vector<ChoiceText> texts;
    for (Choice& choice : choices_) texts.push_back(std::move(choice.whole));
    exchange_->respond({.status = 200, .body = json_line(plan_.format->whole(texts, usage()))});
  }
  release(Outcome::kFinished);
}

void Answer::fail(const ApiError& error) {
  if (over_) return;
  cancel_all();
  if (plan_.options.stream) {
    exchange_->write(sse_event(error.json()));
    exchange_->end_stream();
  } else {
    exchange_->respond(error_response(error));
  }
  release(Outcome::kFailed);
}

void Answer::abort(const ApiError& error) {
  exchange_->post([self = shared_from_this(), error] { self->fail(error); });
}

void Answer::cancel_all() {
  for (const Choice& choice : choices_) {
    if (choice.number != 0 && !choice.done) model_.engine->cancel(choice.number);
  }
}

void Answer::release(Outcome outcome) {
  if (over_) return;
  over_ = true;
  metrics_.request_done(seconds_between(exchange_->request().received, Clock::now()), outcome);
}

Usage Answer::usage() const {
  Usage usage;
  for (const auto& prompt : plan_.prompts)
    usage.prompt_tokens += static_cast<int64_t>(prompt.size());
  for (const Choice& choice : choices_) usage.completion_tokens += choice.tokens;
  return usage;
}

}  // namespace gradus
