// SPDX-License-Identifier: Apache-2.0
#include "text/chat_template.h"

#include <filesystem>

#include "base/error.h"
#include "support/catch.h"

using namespace gradus;

namespace {

constexpr const char* kChatMl =
    "{% for message in messages %}"
    "<|im_start|>{{ message.role }}\n"
    "{% if message.role == 'assistant' %}"
    "{% generation %}{{ message.content }}<|im_end|>{% endgeneration %}\n\n"
    "{% else %}{{ message.content | trim }}<|im_end|>\n{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

ChatInput conversation() {
  ChatInput input;
  input.messages = Json::parse(R"([{"role": "user", "content": " Hi! "},
    {"role": "assistant", "content": "Hé, hello."}, {"role": "user", "content": "Bye"}])");
  return input;
}

std::string cut(const RenderedChat& chat, TextSpan span) {
  return chat.text.substr(span.begin, span.end - span.begin);
}

std::vector<std::string> contents_of(const std::string& source, const Json& messages) {
  ChatInput input;
  input.messages = messages;
  const RenderedChat chat = ChatTemplate(source, "t").render_traced(input);
  std::vector<std::string> out;
  for (const ContentSpan& span : chat.contents) {
    out.push_back(std::to_string(span.message) + ":" + cut(chat, span.text));
  }
  return out;
}

std::time_t local_time(const std::string& iso) {
  std::tm parts{};
  std::sscanf(iso.c_str(), "%d-%d-%dT%d:%d:%d", &parts.tm_year, &parts.tm_mon, &parts.tm_mday,
              &parts.tm_hour, &parts.tm_min, &parts.tm_sec);
  parts.tm_year -= 1900;
  parts.tm_mon -= 1;
  parts.tm_isdst = -1;
  return std::mktime(&parts);
}

}  // namespace

TEST_CASE("a ChatML template renders, with contents and generations located") {
  const RenderedChat chat = ChatTemplate(kChatMl, "chatml").render_traced(conversation());
  CHECK(chat.text ==
        "<|im_start|>user\nHi!<|im_end|>\n<|im_start|>assistant\nHé, hello.<|im_end|>\n"
        "<|im_start|>user\nBye<|im_end|>\n");
  REQUIRE(chat.contents.size() == 3);
  CHECK(cut(chat, chat.contents[0].text) == "Hi!");
  CHECK(cut(chat, chat.contents[1].text) == "Hé, hello.");
  CHECK(chat.contents[2].message == 2);
  REQUIRE(chat.generations.size() == 1);
  CHECK(cut(chat, chat.generations[0]) == "Hé, hello.<|im_end|>");
}

TEST_CASE("the generation prompt is added on request") {
  ChatInput input = conversation();
  input.add_generation_prompt = true;
  CHECK_THAT(ChatTemplate(kChatMl, "chatml").render(input),
             Catch::EndsWith("<|im_end|>\n<|im_start|>assistant\n"));
}

TEST_CASE("contents are followed through string operations") {
  const Json messages = Json::parse(R"([{"role": "user", "content": "a<x>b"}])");
  using Spans = std::vector<std::string>;
  const std::string m = "{% set c = messages[0].content %}";
  CHECK(contents_of(m + "[{{ c.split('<x>')|join('+') }}]", messages) == Spans{"0:a", "0:b"});
  CHECK(contents_of(m + "{{ '#' + c[1:] ~ '#' }}", messages) == Spans{"0:<x>b"});
  CHECK(contents_of(m + "{{ c|replace('<x>', '--') }}", messages) == Spans{"0:a", "0:b"});
  CHECK(contents_of(m + "{{ c|upper }}|{{ '%s!' % c }}|{{ '{}'.format(c) }}", messages) ==
        Spans{"0:A<X>B", "0:a<x>b", "0:a<x>b"});
  CHECK(contents_of(m + "{% macro f(t) %}({{ t|trim }}){% endmacro %}{{ f(c) }}", messages) ==
        Spans{"0:a<x>b"});
  CHECK(contents_of(m + "{{ messages|tojson }}", messages) == Spans{"0:\"a<x>b\""});
  CHECK(contents_of("{{ messages[0].role }}", messages).empty());
  const Json parts =
      Json::parse(R"([{"content": [{"type": "text", "text": "p"}, {"type": "image"}]}])");
  CHECK(contents_of("{% for p in messages[0].content %}{{ p.type }}{{ p.text }}{% endfor %}",
                    parts) == Spans{"0:p"});
}

TEST_CASE("generation blocks are located inside macros and set blocks") {
  const std::string source =
      "{% macro turn(m) %}<{% generation %}{{ m }}{% endgeneration %}>{% endmacro %}"
      "{% set all %}{% for x in 'ab' %}{{ turn(x) }}{% endfor %}{% endset %}[{{ all }}]";
  const RenderedChat chat = ChatTemplate(source, "t").render_traced({});
  REQUIRE(chat.text == "[<a><b>]");
  REQUIRE(chat.generations.size() == 2);
  CHECK(cut(chat, chat.generations[0]) == "a");
  CHECK(cut(chat, chat.generations[1]) == "b");
}

TEST_CASE("absent tokens and tools are undefined, extra variables are visible") {
  ChatInput input;
  const std::string source =
      "{{ bos_token is defined }}{{ tools is defined }}{{ enable_thinking }}";
  input.extra["enable_thinking"] = false;
  CHECK(ChatTemplate(source, "t").render(input) == "FalseFalseFalse");
  input.bos_token = "<s>";
  input.tools = Json::array();
  CHECK(ChatTemplate(source, "t").render(input) == "TrueTrueFalse");
}

TEST_CASE("reasoning fields are aliased as transformers does") {
  ChatInput input;
  input.messages = Json::parse(R"([{"role": "assistant", "content": "c", "reasoning": "r"}])");
  const ChatTemplate chat("{{ messages[0].reasoning_content }}{{ messages[0].thinking }}", "t");
  CHECK(chat.render(input) == "rr");
}

TEST_CASE("messages must be a list of objects") {
  ChatInput input;
  input.messages = Json::parse(R"(["hi"])");
  CHECK_THROWS_WITH(ChatTemplate("", "t").render(input), Catch::Contains("messages[0]"));
}

TEST_CASE("a model folder's template is found in both places") {
  const fs::path folder = fs::temp_directory_path() / "gradus_chat_template_test";
  fs::remove_all(folder);
  fs::create_directories(folder);
  CHECK_FALSE(load_chat_template(folder).has_value());
  write_json(folder / "tokenizer_config.json",
             Json::parse(R"({"chat_template": [{"name": "tool_use", "template": "t"},
                                               {"name": "default", "template": "d"}]})"));
  CHECK(load_chat_template(folder)->render({}) == "d");
  write_file_atomic(folder / "chat_template.jinja", "file");
  CHECK(load_chat_template(folder)->source() == "file");
  fs::remove_all(folder);
}

TEST_CASE("real chat templates render as recorded from transformers") {
  const fs::path data =
      fs::path(GRADUS_SOURCE_DIR).parent_path() / "shared" / "acceptance" / "chat_templates";
  if (!fs::exists(data / "expected.json")) {
    WARN("skipped: " << data << " is absent");
    return;
  }
  const Json recorded = read_json(data / "expected.json");
  for (const Json& entry : recorded["expected"]) {
    const std::string name = entry["template"];
    const Json& one = recorded["cases"][entry["case"].get<std::string>()];
    ChatInput input;
    input.messages = one["messages"];
    if (one.contains("tools")) input.tools = one["tools"];
    input.add_generation_prompt = one["add_generation_prompt"];
    input.bos_token = recorded["bos_token"];
    input.eos_token = recorded["eos_token"];
    input.now = local_time(recorded["now"]);
    INFO(name << ", " << entry["case"]);
    CHECK(ChatTemplate(read_file(data / (name + ".jinja")), name).render(input) == entry["output"]);
  }
}
