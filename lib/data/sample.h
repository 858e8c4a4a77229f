// SPDX-License-Identifier: Apache-2.0
// One document or conversation as ids, with what is to be learned from it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/recipe.h"
#include "data/shape.h"
#include "data/text_tools.h"

namespace gradus {

struct Sample {
  std::vector<TokenId> ids;
  // Per id: whether the model learns to predict it. The first id is predicted from nothing, so its
  // mark has no effect.
  std::vector<bool> supervised;
  int64_t text_bytes = 0;
  // Conversations only: the assistant turns to be learned, those found in the rendered text, and
  // those whose end-of-turn token is supervised.
  int32_t turns = 0, turns_found = 0, turns_ended = 0;
};

struct SampleOptions {
  TrainOn train_on = TrainOn::kAllAssistant;
  bool append_eos = true;
  bool add_special_tokens = true;
};

// Throws when the model lacks what every sample of this kind needs: an end-of-sequence token for
// append_eos, or a chat template.
void require_tools(RowShape shape, const TextTools& tools, const SampleOptions& options);

// Causal-LM sample: every token is learned. The end-of-sequence token is appended unless the
// tokenizer has put it there already.
Sample text_sample(const std::string& text, const TextTools& tools, const SampleOptions& options);

// Conversation, rendered by the model's chat template. Where the template ends the text right
// behind the last answer, without an end-of-turn token, append_eos adds the end-of-sequence token.
// Throws at `where` when the template refuses it.
Sample chat_sample(const ChatRow& row, const TextTools& tools, const SampleOptions& options,
                   const std::string& where);

// The text of `sample` with its supervised parts between ⟦ and ⟧; at most `limit` bytes of text.
std::string marked_preview(const Sample& sample, const Tokenizer& tokenizer, size_t limit = 2000);

}  // namespace gradus
