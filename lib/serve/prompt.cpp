// SPDX-License-Identifier: Apache-2.0
#include "serve/prompt.h"

#include "base/error.h"
#include "serve/protocol/api_error.h"

namespace gradus {
namespace {

RenderedChat render(const ChatRequest& request, const TextTools& tools) {
  if (!tools.chat_template)
    throw ApiError({.message = "this model has no chat template; use /v1/completions",
                    .code = "no_chat_template"});
  const ChatInput input{.messages = request.messages,
                        .tools = {},
                        .add_generation_prompt = true,
                        .bos_token = tools.bos_token,
                        .eos_token = tools.eos_token,
                        .extra = request.variables,
                        .now = {}};
  try {
    return tools.chat_template->render_traced(input);
  } catch (const Error& error) {
    throw ApiError({.message = cat("the chat template refused the messages: ", error.what()),
                    .param = "messages"});
  }
}

}  // namespace

std::vector<int32_t> chat_prompt(const ChatRequest& request, const TextTools& tools) {
  return encode_chat(render(request, tools), *tools.tokenizer).ids;
}

std::vector<int32_t> completion_prompt(const Prompt& prompt, const TextTools& tools) {
  if (const auto* ids = std::get_if<std::vector<int32_t>>(&prompt)) return *ids;
  return tools.tokenizer->encode(std::get<std::string>(prompt), SpecialTokens::kAdd);
}

}  // namespace gradus
