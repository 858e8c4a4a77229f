// SPDX-License-Identifier: Apache-2.0
// Chat templates: an interpreter of the Jinja subset that model authors use, with the extensions
// of transformers' apply_chat_template (strftime_now, raise_exception, {% generation %}, tojson as
// transformers defines it, loop controls). Sandboxed: bounded steps, depth and output, no
// reflection, no file or network access. Syntax and run-time errors are gradus::Error with line
// and column of the template.
#pragma once

#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"

namespace gradus {

// A part of the rendered text, in bytes.
struct TextSpan {
  size_t begin = 0, end = 0;
};

// Text that came from messages[message]["content"] (or its text parts), traced through the
// template's own string operations; used to build training masks without re-rendering.
struct ContentSpan {
  size_t message = 0;
  TextSpan text;
};

struct RenderedChat {
  std::string text;
  std::vector<ContentSpan> contents;  // by begin
  std::vector<TextSpan> generations;  // by begin: bodies of {% generation %} blocks
};

struct ChatInput {
  Json messages = Json::array();
  Json tools;  // null: the template finds no `tools`; for None itself use extra {"tools": null}
  bool add_generation_prompt = false;
  std::string bos_token, eos_token;  // undefined in the template when empty
  Json extra = Json::object();       // further variables, e.g. enable_thinking
  std::optional<std::time_t> now;    // for strftime_now; the clock when absent
};

// From an array of messages, or an object with `messages` and, if given, `tools` and
// `add_generation_prompt`; its other members become `extra`. Throws gradus::Error naming `where`.
ChatInput chat_input_from_json(const Json& conversation, const std::string& where);

class ChatTemplate {
 public:
  // Parses; `where` names the template in errors.
  ChatTemplate(const std::string& source, const std::string& where);
  ~ChatTemplate();
  ChatTemplate(ChatTemplate&&) noexcept;

  std::string render(const ChatInput& input) const { return render_traced(input).text; }
  RenderedChat render_traced(const ChatInput& input) const;
  const std::string& source() const;

 private:
  struct Program;
  std::unique_ptr<Program> program_;
};

// The template of a model folder: chat_template.jinja, else tokenizer_config.json's chat_template
// (a string, or the "default" entry of a list); nullopt when the model has none.
std::optional<ChatTemplate> load_chat_template(const fs::path& model_folder);

}  // namespace gradus
