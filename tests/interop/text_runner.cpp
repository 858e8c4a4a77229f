// SPDX-License-Identifier: Apache-2.0
// Tokenizers and chat templates for the interop tests, without a program start for every case.
// Reads one JSON request a line and writes one JSON answer a line: {"result": …} or
// {"error": "one line"}. It calls what `gradus tokenizer` calls.
//   {"do": "load", "folder": DIR}                      for the requests that follow
//   {"do": "encode", "texts": […], "special": true}    {"do": "decode", "rows": […], "skip": false}
//   {"do": "encode_each", …}                           the same by encode_with_spans; null: refused
//   {"do": "render", "template": TEXT, "cases": [conversation, …], "bos_token": …, "eos_token": …}
//                                                      a list of {"text": …} or {"error": …}
#include <iostream>

#include "base/error.h"
#include "base/log.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace gradus {
namespace {

constexpr const char* kWhere = "request";

std::unique_ptr<Tokenizer>& loaded() {
  static std::unique_ptr<Tokenizer> tokenizer;
  return tokenizer;
}

Json encode(const Json& request) {
  const bool special = json_get<bool>(request, "special", false, kWhere);
  return loaded()->encode_batch(request.at("texts").get<std::vector<std::string>>(),
                                special ? SpecialTokens::kAdd : SpecialTokens::kNone);
}

// The ids must not depend on whether spans are asked for.
Json encode_each(const Json& request) {
  const bool special = json_get<bool>(request, "special", false, kWhere);
  const auto ends = special ? SpecialTokens::kAdd : SpecialTokens::kNone;
  Json out = Json::array();
  for (const Json& text : request.at("texts")) {
    try {
      const auto& bytes = text.get_ref<const std::string&>();
      const Encoding tracked = loaded()->encode_with_spans(bytes, ends);
      if (loaded()->encode(bytes, ends) != tracked.ids) throw Error("spans change the ids");
      if (tracked.ids.size() != tracked.spans.size()) throw Error("a token without a span");
      out.push_back(tracked.ids);
    } catch (const Error&) {
      out.push_back(nullptr);
    }
  }
  return out;
}

Json decode(const Json& request) {
  const bool skip = json_get<bool>(request, "skip", false, kWhere);
  Json out = Json::array();
  for (const Json& row : request.at("rows"))
    out.push_back(loaded()->decode(row.get<std::vector<TokenId>>(),
                                   skip ? DecodeSpecial::kSkip : DecodeSpecial::kKeep));
  return out;
}

Json render(const Json& request) {
  const ChatTemplate chat(request.at("template").get<std::string>(), "template.jinja");
  Json out = Json::array();
  for (const Json& conversation : request.at("cases")) {
    ChatInput input = chat_input_from_json(conversation, kWhere);
    input.bos_token = json_get<std::string>(request, "bos_token", std::string(), kWhere);
    input.eos_token = json_get<std::string>(request, "eos_token", std::string(), kWhere);
    try {
      out.push_back({{"text", chat.render(input)}});
    } catch (const Error& error) {
      out.push_back({{"error", error.what()}});
    }
  }
  return out;
}

Json answer(const Json& request) {
  const auto action = json_get<std::string>(request, "do", kWhere);
  if (action == "encode") return encode(request);
  if (action == "encode_each") return encode_each(request);
  if (action == "decode") return decode(request);
  if (action == "render") return render(request);
  loaded() = load_tokenizer(json_get<std::string>(request, "folder", kWhere));
  return loaded()->vocab_size();
}

}  // namespace
}  // namespace gradus

int main() {
  using namespace gradus;
  set_log_level(LogLevel::kError);
  for (std::string line; std::getline(std::cin, line);) {
    Json reply;
    try {
      reply["result"] = answer(parse_json(line, "request"));
    } catch (const Error& error) {
      reply["error"] = error.what();
    }
    std::cout << reply.dump(-1, ' ', false, Json::error_handler_t::replace) << std::endl;
  }
  return 0;
}
