// SPDX-License-Identifier: Apache-2.0
#include "serve/protocol/request.h"

#include "serve/protocol/api_error.h"
#include "support/catch.h"

using namespace gradus;

namespace {

const RequestLimits kLimits{.max_choices = 4, .max_messages = 3};

Json chat_body(const std::string& more = "{}") {
  Json body = Json::parse(R"({"model": "m", "messages": [{"role": "user", "content": "hi"}]})");
  body.update(Json::parse(more));
  return body;
}

Json completion_body(const std::string& more = "{}") {
  Json body = Json::parse(R"({"model": "m", "prompt": "hi"})");
  body.update(Json::parse(more));
  return body;
}

// The field that a refusal names; "" when the body is accepted.
std::string refused_chat(const std::string& more) {
  try {
    parse_chat_request(chat_body(more), kLimits);
    return "";
  } catch (const ApiError& error) {
    CHECK(error.status() == 400);
    CHECK(error.json()["error"]["type"] == "invalid_request_error");
    return error.param();
  }
}

std::string refused_completion(const std::string& more) {
  try {
    parse_completion_request(completion_body(more), kLimits);
    return "";
  } catch (const ApiError& error) {
    CHECK(error.status() == 400);
    return error.param();
  }
}

}  // namespace

TEST_CASE("a plain chat request has OpenAI's defaults") {
  const ChatRequest request = parse_chat_request(chat_body(), kLimits);
  CHECK(request.answer.model == "m");
  CHECK(request.answer.sampling.temperature == 1.0);
  CHECK(request.answer.sampling.top_p == 1.0);
  CHECK(request.answer.n == 1);
  CHECK_FALSE(request.answer.stream);
  CHECK_FALSE(request.answer.max_tokens.has_value());
  CHECK_FALSE(request.answer.seed.has_value());
  CHECK(request.answer.top_logprobs == -1);
  CHECK(request.messages == Json::parse(R"([{"role": "user", "content": "hi"}])"));
}

TEST_CASE("every supported field arrives") {
  const ChatRequest request = parse_chat_request(
      chat_body(R"({"temperature": 0.5, "top_p": 0.9, "top_k": 7, "min_p": 0.1, "seed": -1,
                    "frequency_penalty": 1, "presence_penalty": -2, "stop": ["a", "b"], "n": 2,
                    "stream": true, "stream_options": {"include_usage": true}, "logprobs": true,
                    "top_logprobs": 3, "max_completion_tokens": 9, "user": "someone",
                    "chat_template_kwargs": {"enable_thinking": false}})"),
      kLimits);
  const AnswerOptions& answer = request.answer;
  CHECK(answer.sampling.temperature == 0.5);
  CHECK(answer.sampling.top_p == 0.9);
  CHECK(answer.sampling.top_k == 7);
  CHECK(answer.sampling.min_p == 0.1);
  CHECK(answer.sampling.frequency_penalty == 1);
  CHECK(answer.sampling.presence_penalty == -2);
  CHECK(answer.seed == UINT64_MAX);
  CHECK(answer.stop == std::vector<std::string>{"a", "b"});
  CHECK(answer.n == 2);
  CHECK(answer.stream);
  CHECK(answer.include_usage);
  CHECK(answer.top_logprobs == 3);
  CHECK(answer.max_tokens == 9);
  CHECK(request.variables["enable_thinking"] == false);
}

TEST_CASE("a field that would be ignored is refused by name") {
  CHECK(refused_chat(R"({"temprature": 1})") == "temprature");
  CHECK(refused_chat(R"({"logit_bias": {"5": 1}})") == "logit_bias");
  CHECK(refused_chat(R"({"tools": [{"type": "function"}]})") == "tools");
  CHECK(refused_chat(R"({"tool_choice": "required"})") == "tool_choice");
  CHECK(refused_chat(R"({"response_format": {"type": "json_object"}})") == "response_format");
  CHECK(refused_chat(R"({"store": true})") == "store");
  CHECK(refused_chat(R"({"reasoning_effort": "high"})") == "reasoning_effort");
  CHECK(refused_chat(R"({"prompt": "x"})") == "prompt");
  CHECK(refused_chat(R"({"stream": true, "stream_options": {"x": 1}})") == "stream_options.x");
  CHECK(refused_completion(R"({"echo": true})") == "echo");
  CHECK(refused_completion(R"({"suffix": "x"})") == "suffix");
  CHECK(refused_completion(R"({"best_of": 3})") == "best_of");
  CHECK(refused_completion(R"({"messages": []})") == "messages");
}

TEST_CASE("values that ask for nothing are accepted") {
  CHECK(refused_chat(R"({"logit_bias": {}, "tools": [], "tool_choice": "none", "store": false,
                         "response_format": {"type": "text"}, "metadata": null,
                         "service_tier": "auto", "parallel_tool_calls": true,
                         "modalities": ["text"], "top_k": -1, "n": null})") == "");
  CHECK(refused_completion(R"({"echo": false, "best_of": 1, "suffix": null})") == "");
}

TEST_CASE("types and ranges are checked") {
  for (const char* value : {"-0.1", "2.1", "\"1\"", "true", "[]", "{}"})
    CHECK(refused_chat(std::string(R"({"temperature": )") + value + "}") == "temperature");
  for (const char* value : {"0", "5", "1.5", "1e30"})
    CHECK(refused_chat(std::string(R"({"n": )") + value + "}") == "n");
  CHECK(refused_chat(R"({"max_tokens": 0})") == "max_tokens");
  CHECK(refused_chat(R"({"max_tokens": 3, "max_completion_tokens": 4})") ==
        "max_completion_tokens");
  CHECK(refused_chat(R"({"seed": 1.5})") == "seed");
  CHECK(refused_chat(R"({"stop": ["a", "b", "c", "d", "e"]})") == "stop");
  CHECK(refused_chat(R"({"stop": ""})") == "stop");
  CHECK(refused_chat(R"({"stop": [1]})") == "stop");
  CHECK(refused_chat(R"({"top_logprobs": 2})") == "top_logprobs");
  CHECK(refused_chat(R"({"logprobs": true, "top_logprobs": 21})") == "top_logprobs");
  CHECK(refused_chat(R"({"stream_options": {"include_usage": true}})") == "stream_options");
  CHECK(refused_chat(R"({"model": ""})") == "model");
  CHECK(refused_completion(R"({"logprobs": 6})") == "logprobs");
  CHECK(refused_completion(R"({"prompt": ["a", "b", "c"], "n": 2})") == "n");
}

TEST_CASE("messages are checked one by one") {
  const auto with = [](const std::string& messages) {
    return refused_chat(R"({"messages": )" + messages + "}");
  };
  CHECK(with("[]") == "messages");
  CHECK(with("\"hi\"") == "messages");
  CHECK(with("[1]") == "messages[0]");
  CHECK(with(R"([{"role": "tool", "content": "x"}])") == "messages[0].role");
  CHECK(with(R"([{"role": "user"}])") == "messages[0].content");
  CHECK(with(R"([{"role": "user", "content": 5}])") == "messages[0].content");
  CHECK(with(R"([{"role": "user", "content": "a", "more": 1}])") == "messages[0].more");
  CHECK(with(R"([{"role": "user", "content": [{"type": "image_url"}]}])") ==
        "messages[0].content[0].type");
  CHECK(with(R"([{"role": "assistant", "content": "a", "tool_calls": [{}]}])") ==
        "messages[0].tool_calls");
  const std::string one = R"({"role": "user", "content": "a"})";
  CHECK(with("[" + one + "," + one + "," + one + "," + one + "]") == "messages");
}

TEST_CASE("text parts are joined, developer means system, replayed answers pass") {
  const Json body = Json::parse(R"({"model": "m", "messages": [
    {"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
    {"role": "assistant", "content": "c", "refusal": null, "annotations": [], "audio": null,
     "function_call": null, "tool_calls": null}]})");
  CHECK(parse_chat_request(body, kLimits).messages ==
        Json::parse(R"([{"role": "system", "content": "a\nb"},
                        {"role": "assistant", "content": "c"}])"));
}

TEST_CASE("template variables may not replace what the server defines") {
  CHECK(refused_chat(R"({"chat_template_kwargs": {"chat_template": "x"}})") ==
        "chat_template_kwargs.chat_template");
  CHECK(refused_chat(R"({"chat_template_kwargs": {"messages": "x"}})") ==
        "chat_template_kwargs.messages");
  CHECK(refused_chat(R"({"chat_template_kwargs": {"a": {}}})") == "chat_template_kwargs.a");
}

TEST_CASE("prompts come in four shapes") {
  const auto is = [](const std::string& prompt, const std::vector<Prompt>& expected) {
    return parse_completion_request(completion_body(R"({"prompt": )" + prompt + "}"), kLimits)
               .prompts == expected;
  };
  CHECK(is("\"a\"", {std::string("a")}));
  CHECK(is(R"(["a", "b"])", {std::string("a"), std::string("b")}));
  CHECK(is("[1, 2]", {std::vector<int32_t>{1, 2}}));
  CHECK(is("[[1], [2, 3]]", {std::vector<int32_t>{1}, std::vector<int32_t>{2, 3}}));
  for (const char* bad : {"[]", "\"\"", "5", "[[]]", "[1, \"a\"]", "[-1]", "[1.5]", "[4294967296]"})
    CHECK(refused_completion(std::string(R"({"prompt": )") + bad + "}") == "prompt");
}

TEST_CASE("a completion without max_tokens has 16, as OpenAI's") {
  CHECK(parse_completion_request(completion_body(), kLimits).answer.max_tokens == 16);
}

TEST_CASE("bodies that are not JSON are refused with their place") {
  CHECK_THROWS_WITH(parse_body("{\"a\": }"), Catch::Contains("1:7"));
  CHECK_THROWS_AS(parse_body(std::string(5000, '[')), ApiError);
  CHECK_THROWS_AS(parse_body("{\"a\": 1, \"a\": 2}"), ApiError);
  CHECK_THROWS_AS(parse_body("\"\xff\""), ApiError);
  CHECK_THROWS_AS(parse_body("{\"n\": 1e999}"), ApiError);
  CHECK_THROWS_AS(parse_body(""), ApiError);
}
