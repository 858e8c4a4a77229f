// SPDX-License-Identifier: Apache-2.0
// gradus tokenizer encode | decode | chat: text, ids and conversations through the same code as
// training and serving. Input and output are JSON, so that other programs can be held against us.
#include <iostream>

#include "base/error.h"
#include "commands.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace gradus {
namespace {

Json read_array(const CommandLine& line) {
  const fs::path path = line.require("--file");
  Json json = read_json(path);
  if (!json.is_array()) throw Error({.what = "is not a JSON array", .where = path.string()});
  return json;
}

void print_result(const Json& result) {
  std::cout << result.dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
}

int run_encode(const CommandLine& line) {
  const auto tokenizer = load_tokenizer(line.require("--model"));
  const SpecialTokens special =
      line.has("--no-special") ? SpecialTokens::kNone : SpecialTokens::kAdd;
  Json result = Json::array();
  for (const Json& text : read_array(line)) {
    if (!text.is_string())
      throw Error(
          {.what = cat("entry ", result.size(), " is not a string"), .where = line.get("--file")});
    result.push_back(tokenizer->encode(text.get_ref<const std::string&>(), special));
  }
  print_result(result);
  return 0;
}

int run_decode(const CommandLine& line) {
  const auto tokenizer = load_tokenizer(line.require("--model"));
  const DecodeSpecial special =
      line.has("--skip-special") ? DecodeSpecial::kSkip : DecodeSpecial::kKeep;
  Json result = Json::array();
  for (const Json& row : read_array(line)) {
    std::vector<TokenId> ids;
    const auto bad = [&] {
      throw Error({.what = cat("entry ", result.size(), " is not an array of token ids"),
                   .where = line.get("--file")});
    };
    if (!row.is_array()) bad();
    for (const Json& id : row) {
      if (!id.is_number_integer() || id.get<int64_t>() < 0 ||
          id.get<int64_t>() >= tokenizer->vocab_size())
        bad();
      ids.push_back(id.get<TokenId>());
    }
    result.push_back(tokenizer->decode(ids, special));
  }
  print_result(result);
  return 0;
}

// The special token of a model folder's tokenizer_config.json: a string, or {"content": string}.
std::string special_token(const Json& config, const std::string& key) {
  if (!config.contains(key)) return "";
  const Json& value = config.at(key);
  if (value.is_object()) return value.value("content", std::string());
  return value.is_string() ? value.get<std::string>() : "";
}

ChatTemplate template_of(const CommandLine& line) {
  if (line.has("--template"))
    return ChatTemplate(read_file(line.get("--template")), line.get("--template"));
  auto found = load_chat_template(line.require("--model"));
  if (!found)
    throw Error({.what = "has no chat template",
                 .where = line.get("--model"),
                 .hint = "give one with --template FILE.jinja"});
  return std::move(*found);
}

struct ChatDefaults {
  std::string bos_token, eos_token;
};

ChatDefaults chat_defaults(const CommandLine& line, const Json& document) {
  ChatDefaults defaults;
  const fs::path config_path = fs::path(line.get("--model")) / "tokenizer_config.json";
  if (line.has("--model") && fs::exists(config_path)) {
    const Json config = read_json(config_path);
    defaults = {special_token(config, "bos_token"), special_token(config, "eos_token")};
  }
  if (document.is_object()) {
    defaults.bos_token = document.value("bos_token", defaults.bos_token);
    defaults.eos_token = document.value("eos_token", defaults.eos_token);
  }
  return defaults;
}

std::string render(const ChatTemplate& chat_template, const Json& conversation,
                   const ChatDefaults& defaults) {
  ChatInput input;
  if (conversation.is_array()) {
    input.messages = conversation;
  } else {
    input.messages = json_get<Json>(conversation, "messages", "conversation");
    input.tools = conversation.contains("tools") ? conversation.at("tools") : Json();
    input.add_generation_prompt =
        json_get<bool>(conversation, "add_generation_prompt", false, "conversation");
    for (const auto& [key, value] : conversation.items()) {
      if (key != "messages" && key != "tools" && key != "add_generation_prompt")
        input.extra[key] = value;
    }
  }
  input.bos_token = defaults.bos_token;
  input.eos_token = defaults.eos_token;
  return chat_template.render(input);
}

int run_chat(const CommandLine& line) {
  const ChatTemplate chat_template = template_of(line);
  const fs::path path = line.require("--file");
  const Json document = read_json(path);
  const ChatDefaults defaults = chat_defaults(line, document);
  Json result;
  if (document.is_array()) {
    result = Json::array();
    for (const Json& conversation : document)
      result.push_back(render(chat_template, conversation, defaults));
  } else {
    result = Json::object();
    const auto cases = json_get<Json>(document, "cases", path.string());
    for (const auto& [name, conversation] : cases.items())
      result[name] = render(chat_template, conversation, defaults);
  }
  print_result(result);
  return 0;
}

const Flag kModelFlag{"--model", "DIR", "the model folder whose tokenizer is used (required)"};

std::vector<Flag> encode_flags() {
  return {kModelFlag,
          {"--file", "FILE", "JSON array of strings (required)"},
          {"--no-special", "", "leave special tokens such as BOS out"}};
}
std::vector<Flag> decode_flags() {
  return {kModelFlag,
          {"--file", "FILE", "JSON array of arrays of token ids (required)"},
          {"--skip-special", "", "leave special tokens out of the text"}};
}
std::vector<Flag> chat_flags() {
  return {{"--model", "DIR", "the model folder whose chat template is used"},
          {"--template", "FILE.jinja", "a template file, in place of the model's"},
          {"--file", "FILE",
           "JSON array of conversations, or {\"cases\": {name: {messages, tools, "
           "add_generation_prompt}}} (required)"}};
}

}  // namespace

Command tokenizer_encode_command() {
  return {"tokenizer encode", "text to token ids", "--model DIR --file FILE", encode_flags, nullptr,
          run_encode};
}
Command tokenizer_decode_command() {
  return {"tokenizer decode", "token ids to text", "--model DIR --file FILE", decode_flags, nullptr,
          run_decode};
}
Command tokenizer_chat_command() {
  return {"tokenizer chat",
          "conversations to prompt text",
          "--model DIR --file FILE",
          chat_flags,
          nullptr,
          run_chat};
}

}  // namespace gradus
