// SPDX-License-Identifier: Apache-2.0
// The bodies of POST /v1/chat/completions and /v1/completions as structs. Fields and meanings are
// OpenAI's, and top_k, min_p and chat_template_kwargs as other servers have them. Every field is
// either obeyed or refused with a 400 that names it; docs/serve.md lists them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/json.h"
#include "infer/request.h"

namespace gradus {

struct RequestLimits {
  int64_t max_choices = 8;  // answers to one request: prompts x n
  int64_t max_messages = 1024;
};

constexpr size_t kMaxStops = 4;
constexpr size_t kMaxStopBytes = 512;
constexpr int64_t kMaxTopLogprobs = 20;

// What both kinds of request ask of the answer.
struct AnswerOptions {
  std::string model;
  std::optional<int64_t> max_tokens;
  SamplingOptions sampling;  // its seed is not used
  std::optional<uint64_t> seed;
  std::vector<std::string> stop;
  int64_t n = 1;
  bool stream = false;
  bool include_usage = false;
  int64_t top_logprobs = -1;  // -1: none; else the chosen token's and this many best
};

struct ChatRequest {
  AnswerOptions answer;
  Json messages;   // [{role, content: string, …}], ready for a chat template
  Json variables;  // further template variables
};

using Prompt = std::variant<std::string, std::vector<int32_t>>;

struct CompletionRequest {
  AnswerOptions answer;
  std::vector<Prompt> prompts;  // at least one; none is empty
};

// Throw ApiError with status 400.
ChatRequest parse_chat_request(const Json& body, const RequestLimits& limits);
CompletionRequest parse_completion_request(const Json& body, const RequestLimits& limits);
// The body of a request; errors of syntax, depth and duplicate keys become ApiError too.
Json parse_body(const std::string& text);

}  // namespace gradus
