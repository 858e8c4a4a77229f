// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/error.h"
#include "serve/protocol/answer_options.h"
#include "serve/protocol/api_error.h"
#include "serve/protocol/request.h"

namespace gradus {
namespace {

// The text of a message: a string, or text parts, which are joined by a line break.
std::string content_text(const Json& content, const std::string& where) {
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array() || content.empty())
    throw bad_field(where, "must be a string or an array of text parts, found " + shown(content));
  std::string text;
  for (size_t i = 0; i < content.size(); ++i) {
    FieldReader part(content[i], cat(where, "[", i, "]"));
    part.supports_only("type", {"text"});
    const std::string piece = part.text("text").value_or("");
    part.finish();
    text += (i > 0 ? "\n" : "") + piece;
  }
  return text;
}

Json read_message(const Json& value, const std::string& where) {
  FieldReader fields(value, where);
  std::string role = fields.text("role").value_or("");
  if (role == "developer") role = "system";  // OpenAI's later name; templates know the former
  if (role != "system" && role != "user" && role != "assistant")
    throw bad_field(where + ".role", "must be system, developer, user or assistant, found '" +
                                         printable(role) + "'");
  Json message{{"role", role},
               {"content", content_text(fields.require("content"), where + ".content")}};
  if (const auto name = fields.text("name")) message["name"] = *name;
  // Clients send the messages of earlier answers back, with these fields unset.
  const Json none = Json::array();
  for (const char* unset : {"refusal", "annotations", "audio", "function_call", "tool_calls"})
    fields.supports_only(unset, {none});
  fields.finish();
  return message;
}

Json read_messages(const Json& value, const RequestLimits& limits) {
  if (!value.is_array() || value.empty())
    throw bad_field("messages", "must be an array of at least one message, found " + shown(value));
  if (static_cast<int64_t>(value.size()) > limits.max_messages)
    throw bad_field("messages", cat("at most ", limits.max_messages, ", found ", value.size()));
  Json messages = Json::array();
  for (size_t i = 0; i < value.size(); ++i)
    messages.push_back(read_message(value[i], cat("messages[", i, "]")));
  return messages;
}

// Plain switches such as enable_thinking. What the server itself defines may not be replaced.
Json read_variables(FieldReader& fields) {
  static const std::vector<std::string> kReserved = {
      "messages",  "tools",     "documents", "add_generation_prompt",
      "bos_token", "eos_token", "tokenize",  "chat_template"};
  const Json* value = fields.take("chat_template_kwargs");
  if (!value) return Json::object();
  if (!value->is_object()) throw bad_field("chat_template_kwargs", "must be an object");
  for (const auto& [name, variable] : value->items()) {
    const bool reserved = std::find(kReserved.begin(), kReserved.end(), name) != kReserved.end();
    if (reserved || variable.is_structured())
      throw bad_field("chat_template_kwargs." + printable(name),
                      "must be a boolean, number or string under a name of its own");
  }
  return *value;
}

int64_t read_logprobs(FieldReader& fields) {
  const bool wanted = fields.boolean("logprobs").value_or(false);
  const auto count = fields.integer("top_logprobs", {0, double{kMaxTopLogprobs}});
  if (count && !wanted) throw bad_field("top_logprobs", "needs logprobs: true");
  return wanted ? count.value_or(0) : -1;
}

void read_completion_tokens(FieldReader& fields, AnswerOptions& answer) {
  const auto newer = fields.integer("max_completion_tokens", {1, 1e9});
  if (newer && answer.max_tokens && *newer != *answer.max_tokens)
    throw bad_field("max_completion_tokens", "differs from max_tokens; give one of them");
  if (newer) answer.max_tokens = newer;
}

void refuse_unsupported(FieldReader& fields) {
  const Json none = Json::array();
  fields.supports_only("tools", {none});
  fields.supports_only("tool_choice", {"none", "auto"});
  fields.supports_only("parallel_tool_calls", {true, false});  // about tools, of which none pass
  fields.supports_only("functions", {none});
  fields.supports_only("function_call", {"none", "auto"});
  fields.supports_only("response_format", {Json{{"type", "text"}}});
  fields.supports_only("modalities", {Json::array({"text"})});
  fields.supports_only("service_tier", {"auto", "default"});
  fields.supports_only("store", {false});
  fields.supports_only("metadata", {Json::object()});
  for (const char* name :
       {"audio", "prediction", "reasoning_effort", "verbosity", "web_search_options"})
    fields.supports_only(name, {});
}

}  // namespace

ChatRequest parse_chat_request(const Json& body, const RequestLimits& limits) {
  FieldReader fields(body, "");
  ChatRequest request;
  request.answer = read_answer_options(fields, limits);
  read_completion_tokens(fields, request.answer);
  request.answer.top_logprobs = read_logprobs(fields);
  request.messages = read_messages(fields.require("messages"), limits);
  request.variables = read_variables(fields);
  refuse_unsupported(fields);
  fields.finish();
  return request;
}

Json parse_body(const std::string& text) {
  try {
    return parse_json(text, "request body");
  } catch (const Error& error) {
    throw ApiError({.message = error.what(), .code = "invalid_json"});
  }
}

}  // namespace gradus
