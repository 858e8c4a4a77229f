// SPDX-License-Identifier: Apache-2.0
// Which tokens end an answer, in serving and in evaluation.
#pragma once

#include <vector>

#include "data/text_tools.h"

namespace gradus {

// The tokens that end an answer: the union of eos_token_id in config.json and
// generation_config.json, the tokenizer's end-of-sequence token, and the token that the chat
// template writes behind an assistant's turn.
std::vector<int32_t> find_stop_tokens(const fs::path& folder, const TextTools& tools,
                                      int64_t vocab_size);

}  // namespace gradus
