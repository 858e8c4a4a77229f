// SPDX-License-Identifier: Apache-2.0
// Which tokens of a rendered conversation are learned. The decision rests on the structure that the
// template interpreter reports (where each message's content and each {% generation %} block ended
// up in the text), never on rendering prefixes again.
//
// For a chosen assistant turn the mask covers its content, its generation block, and the
// end-of-turn token that directly follows: the first special or added token behind them, with
// white space allowed in between (which is then learned too, since the model must write it).
// Tokens that only partly belong to the content are learned.
#pragma once

#include <optional>
#include <vector>

#include "base/json.h"
#include "data/recipe.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace gradus {

// An assistant turn in the rendered text. `content` reaches from the first to the last byte of its
// content; both spans are absent when the template shows nothing of the turn.
struct AssistantTurn {
  size_t message = 0;
  std::optional<TextSpan> content;
  std::optional<TextSpan> generation;
};

// All assistant turns, or the last one, in order.
std::vector<AssistantTurn> assistant_turns(const Json& messages, const RenderedChat& chat,
                                           TrainOn train_on);

struct ChatMask {
  std::vector<bool> supervised;  // per token
  int32_t turns_found = 0;
  int32_t turns_ended = 0;  // end-of-turn token found and supervised
  // Set when the last turn reaches to the end of the text, white space apart, without an
  // end-of-turn token: the first token behind it.
  std::optional<size_t> open_end;
};

// `encoding` is that of the whole text.
ChatMask mask_turns(const std::vector<AssistantTurn>& turns, const std::string& text,
                    const Encoding& encoding, const Tokenizer& tokenizer,
                    const std::string& eos_token);

}  // namespace gradus
