// SPDX-License-Identifier: Apache-2.0
// From requests to prompt ids.
#pragma once

#include <cstdint>
#include <vector>

#include "data/text_tools.h"
#include "serve/protocol/request.h"

namespace gradus {

// The rendered conversation, encoded without further special tokens: the template has written BOS
// if there is one. Text that came from messages never becomes a control token. Throws ApiError when
// the model has no chat template or the template refuses the conversation.
std::vector<int32_t> chat_prompt(const ChatRequest& request, const TextTools& tools);

// Text with the special tokens that the tokenizer adds; ids as they are, checked against the
// vocabulary by the engine.
std::vector<int32_t> completion_prompt(const Prompt& prompt, const TextTools& tools);

}  // namespace gradus
