// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/error.h"
#include "serve/protocol/answer_options.h"
#include "serve/protocol/api_error.h"
#include "serve/protocol/request.h"

namespace gradus {
namespace {

constexpr int64_t kDefaultMaxTokens = 16;  // OpenAI's, for this route only
constexpr double kMaxCompletionLogprobs = 5;

std::vector<int32_t> token_ids(const Json& list) {
  std::vector<int32_t> ids;
  ids.reserve(list.size());
  for (const Json& id : list) {
    const bool fits = id.is_number_integer() && id.get<double>() >= 0 && id.get<double>() < 2e9;
    if (!fits) throw bad_field("prompt", "is not a token id: " + shown(id));
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

Prompt one_prompt(const Json& value) {
  if (value.is_string() && !value.get_ref<const std::string&>().empty())
    return value.get<std::string>();
  if (value.is_array() && !value.empty()) return token_ids(value);
  throw bad_field(
      "prompt", "must be non-empty text or token ids, or an array of these, found " + shown(value));
}

// A string, an array of token ids, or an array of either.
std::vector<Prompt> read_prompts(const Json& value, const RequestLimits& limits) {
  const bool many = value.is_array() && !value.empty() && !value.front().is_number();
  if (!many) return {one_prompt(value)};
  if (static_cast<int64_t>(value.size()) > limits.max_choices)
    throw bad_field("prompt",
                    cat("at most ", limits.max_choices, " prompts, found ", value.size()));
  std::vector<Prompt> prompts;
  for (const Json& prompt : value) prompts.push_back(one_prompt(prompt));
  return prompts;
}

}  // namespace

CompletionRequest parse_completion_request(const Json& body, const RequestLimits& limits) {
  FieldReader fields(body, "");
  CompletionRequest request;
  request.answer = read_answer_options(fields, limits);
  if (!request.answer.max_tokens) request.answer.max_tokens = kDefaultMaxTokens;
  request.answer.top_logprobs =
      fields.integer("logprobs", {0, kMaxCompletionLogprobs}).value_or(-1);
  request.prompts = read_prompts(fields.require("prompt"), limits);
  const auto choices = static_cast<int64_t>(request.prompts.size()) * request.answer.n;
  if (choices > limits.max_choices)
    throw bad_field("n",
                    cat("prompts x n must be at most ", limits.max_choices, ", found ", choices));
  fields.supports_only("echo", {false});
  fields.supports_only("suffix", {""});
  fields.supports_only("best_of", {request.answer.n});
  fields.finish();
  return request;
}

}  // namespace gradus
