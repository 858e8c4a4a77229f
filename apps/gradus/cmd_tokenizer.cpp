// SPDX-License-Identifier: Apache-2.0
// gradus tokenizer encode | decode | chat: text, ids and conversations through the same code as
// training and serving. Input and output are JSON, so that other programs can be held against us.
#include <iostream>
#include <optional>

#include "base/error.h"
#include "commands.h"
#include "data/text_tools.h"
#include "hub/hub.h"
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
  const auto tokenizer = load_tokenizer(resolve_model_text(line.require("--model")));
  const SpecialTokens special =
      line.has("--no-special") ? SpecialTokens::kNone : SpecialTokens::kAdd;
  std::vector<std::string> texts;
  for (const Json& text : read_array(line)) {
    if (!text.is_string())
      throw Error(
          {.what = cat("entry ", texts.size(), " is not a string"), .where = line.get("--file")});
    texts.push_back(text.get<std::string>());
  }
  try {
    print_result(tokenizer->encode_batch(texts, special));
  } catch (const Error& error) {
    throw Error({.what = error.what(), .where = line.get("--file")});
  }
  return 0;
}

int run_decode(const CommandLine& line) {
  const auto tokenizer = load_tokenizer(resolve_model_text(line.require("--model")));
  const DecodeSpecial special =
      line.has("--skip-special") ? DecodeSpecial::kSkip : DecodeSpecial::kKeep;
  Json result = Json::array();
  for (const Json& row : read_array(line)) {
    std::vector<TokenId> ids;
    const auto bad = [&](const std::string& expected, const Json& found) {
      throw Error({.what = cat("entry ", result.size(), " is not an array of token ids"),
                   .where = line.get("--file"),
                   .expected = expected,
                   .found = printable(found.dump(), 60)});
    };
    if (!row.is_array()) bad("an array", row);
    for (const Json& id : row) {
      if (!id.is_number_integer() || id.get<int64_t>() < 0 ||
          id.get<int64_t>() >= tokenizer->vocab_size())
        bad(cat("ids from 0 to ", tokenizer->vocab_size() - 1), id);
      ids.push_back(id.get<TokenId>());
    }
    result.push_back(tokenizer->decode(ids, special));
  }
  print_result(result);
  return 0;
}

// What renders conversations: the template and the special tokens it may use.
struct ChatParts {
  std::optional<ChatTemplate> chat_template;
  std::string bos_token, eos_token;
};

ChatParts chat_parts(const CommandLine& line) {
  ChatParts parts;
  if (line.has("--model")) {
    TextTools tools = load_text_tools(resolve_model_text(line.get("--model")));
    if (tools.chat_template) parts.chat_template.emplace(std::move(*tools.chat_template));
    parts.bos_token = tools.bos_token;
    parts.eos_token = tools.eos_token;
  }
  if (line.has("--template"))
    parts.chat_template.emplace(read_file(line.get("--template")), line.get("--template"));
  if (parts.chat_template) return parts;
  if (!line.has("--model")) throw UsageError("--model or --template is required", "see --help");
  throw Error({.what = "has no chat template",
               .where = line.get("--model"),
               .hint = "give one with --template FILE.jinja"});
}

std::string render(const ChatParts& parts, const Json& conversation, const std::string& where) {
  ChatInput input = chat_input_from_json(conversation, where);
  input.bos_token = parts.bos_token;
  input.eos_token = parts.eos_token;
  try {
    return parts.chat_template->render(input);
  } catch (const Error& error) {
    throw Error({.what = error.what(), .where = where});
  }
}

int run_chat(const CommandLine& line) {
  ChatParts parts = chat_parts(line);
  const fs::path path = line.require("--file");
  const Json document = read_json(path);
  if (document.is_object()) {
    parts.bos_token = json_get<std::string>(document, "bos_token", parts.bos_token, path.string());
    parts.eos_token = json_get<std::string>(document, "eos_token", parts.eos_token, path.string());
  }
  Json result;
  if (document.is_array()) {
    result = Json::array();
    for (const Json& conversation : document)
      result.push_back(render(parts, conversation, cat(path.string(), ", entry ", result.size())));
  } else {
    result = Json::object();
    const auto cases = json_get<Json>(document, "cases", path.string());
    if (!cases.is_object()) json_wrong_type(cases, "cases", "an object", path.string());
    for (const auto& [name, conversation] : cases.items())
      result[name] = render(parts, conversation, cat(path.string(), ", case ", printable(name)));
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
          run_encode,         Arguments::kNone};
}
Command tokenizer_decode_command() {
  return {"tokenizer decode", "token ids to text", "--model DIR --file FILE", decode_flags, nullptr,
          run_decode,         Arguments::kNone};
}
Command tokenizer_chat_command() {
  return {"tokenizer chat",
          "conversations to prompt text",
          "[--model DIR] [--template FILE] --file FILE",
          chat_flags,
          nullptr,
          run_chat,
          Arguments::kNone};
}

}  // namespace gradus
