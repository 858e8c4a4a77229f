// SPDX-License-Identifier: Apache-2.0
// Any bytes as a chat template, rendered with a small conversation. Refusals are fine; crashes,
// leaks, hangs and undefined behaviour are not.
#include "base/error.h"
#include "text/chat_template.h"

namespace {

const gradus::ChatInput& conversation() {
  static const gradus::ChatInput input = [] {
    gradus::ChatInput chat;
    chat.messages = gradus::Json::parse(R"([
      {"role": "system", "content": "Be kind."},
      {"role": "user", "content": [{"type": "text", "text": "Grüße 世界"}, {"type": "image"}]},
      {"role": "assistant", "content": null, "reasoning_content": "hm",
       "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1.5, "y": [true, -3]}}}]}])");
    chat.tools = gradus::Json::parse(
        R"([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}])");
    chat.add_generation_prompt = true;
    chat.bos_token = "<s>";
    chat.eos_token = "</s>";
    chat.now = 0;
    return chat;
  }();
  return input;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const std::string source(reinterpret_cast<const char*>(data), size);
    const gradus::ChatTemplate chat_template(source, "fuzz.jinja");
    const gradus::RenderedChat chat = chat_template.render_traced(conversation());
    for (const auto& content : chat.contents) {
      if (content.text.begin > content.text.end || content.text.end > chat.text.size()) {
        __builtin_trap();
      }
    }
  } catch (const gradus::Error&) {
  }
  return 0;
}
