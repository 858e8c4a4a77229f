// SPDX-License-Identifier: Apache-2.0
#include "text/chat_template.h"

#include "base/error.h"
#include "text/jinja/from_json.h"
#include "text/jinja/globals.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/parser.h"

namespace gradus {
namespace {

using jinja::Value;

// The template's variables by NameId; those it never mentions are not even converted.
class Variables {
 public:
  Variables(const jinja::Program& program, size_t count) : program_(program), values_(count) {}

  bool wanted(const std::string& name) const { return program_.names.find(name) >= 0; }

  void set(const std::string& name, Value value) {
    const jinja::NameId id = program_.names.find(name);
    if (id >= 0) values_[static_cast<size_t>(id)] = std::move(value);
  }

  std::vector<Value> take() { return std::move(values_); }

 private:
  const jinja::Program& program_;
  std::vector<Value> values_;
};

void set_token(Variables& variables, const char* name, const std::string& token) {
  if (!token.empty()) variables.set(name, Value::string(token));
}

std::vector<Value> variables_of(const jinja::Program& program, const ChatInput& input,
                                const std::string& program_name) {
  Variables variables(program, program.names.size());
  for (auto& [name, value] : jinja::global_functions(input.now)) variables.set(name, value);
  set_token(variables, "bos_token", input.bos_token);
  set_token(variables, "eos_token", input.eos_token);
  variables.set("messages", jinja::messages_from_json(input.messages));
  if (variables.wanted("tools") && !input.tools.is_null())
    variables.set("tools", jinja::from_json(input.tools));
  variables.set("add_generation_prompt", Value::boolean(input.add_generation_prompt));
  if (!input.extra.is_null() && !input.extra.is_object()) {
    throw Error({.what = "the extra variables of a chat template must be an object",
                 .where = program_name,
                 .found = input.extra.type_name()});
  }
  for (const auto& [name, value] : input.extra.items()) {
    if (variables.wanted(name)) variables.set(name, jinja::from_json(value));
  }
  return variables.take();
}

RenderedChat rendered(jinja::Text text) {
  RenderedChat chat;
  for (const jinja::Trace& trace : text.traces) {
    if (trace.source >= 0) {
      chat.contents.push_back({static_cast<size_t>(trace.source), {trace.begin, trace.end}});
    } else {
      chat.generations.push_back({trace.begin, trace.end});
    }
  }
  chat.text = std::move(text.bytes);
  return chat;
}

std::optional<std::string> template_in_config(const Json& config, const std::string& where) {
  const auto found = config.find("chat_template");
  if (found == config.end() || found->is_null()) return std::nullopt;
  if (found->is_string()) return found->get<std::string>();
  if (!found->is_array()) {
    json_wrong_type(*found, "chat_template", "a string or a list of templates", where);
  }
  for (const Json& entry : *found) {
    if (json_get<std::string>(entry, "name", where + ": chat_template") == "default") {
      return json_get<std::string>(entry, "template", where + ": chat_template");
    }
  }
  return std::nullopt;
}

}  // namespace

struct ChatTemplate::Program {
  Program(const std::string& text, const std::string& name)
      : original(text), where(name), source(text, name), program(jinja::parse(source)) {}

  std::string original, where;
  jinja::Source source;
  jinja::Program program;
};

ChatTemplate::ChatTemplate(const std::string& source, const std::string& where)
    : program_(std::make_unique<Program>(source, where)) {}
ChatTemplate::~ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;

const std::string& ChatTemplate::source() const { return program_->original; }

RenderedChat ChatTemplate::render_traced(const ChatInput& input) const {
  jinja::Budget budget;  // outlives every value of this render
  try {
    jinja::Interpreter interpreter(program_->program, program_->source,
                                   variables_of(program_->program, input, program_->where));
    return rendered(interpreter.run());
  } catch (const jinja::Failure& failure) {
    throw Error({.what = failure.what(), .where = program_->where});
  }
}

ChatInput chat_input_from_json(const Json& conversation, const std::string& where) {
  ChatInput input;
  if (conversation.is_array()) {
    input.messages = conversation;
  } else {
    input.messages = json_get<Json>(conversation, "messages", where);
    input.tools = conversation.contains("tools") ? conversation.at("tools") : Json();
    input.add_generation_prompt =
        json_get<bool>(conversation, "add_generation_prompt", false, where);
    for (const auto& [key, value] : conversation.items()) {
      if (key != "messages" && key != "tools" && key != "add_generation_prompt")
        input.extra[key] = value;
    }
  }
  return input;
}

std::optional<ChatTemplate> load_chat_template(const fs::path& model_folder) {
  const fs::path file = model_folder / "chat_template.jinja";
  if (fs::exists(file)) return ChatTemplate(read_file(file), file.string());
  const fs::path config = model_folder / "tokenizer_config.json";
  if (!fs::exists(config)) return std::nullopt;
  const auto text = template_in_config(read_json(config), config.string());
  if (!text) return std::nullopt;
  return ChatTemplate(*text, config.string() + ": chat_template");
}

}  // namespace gradus
