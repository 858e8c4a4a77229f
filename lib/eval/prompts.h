// SPDX-License-Identifier: Apache-2.0
// From rows to the text before the answer, by lm-evaluation-harness's rules: plain text is
// instruction + (question + delimiter + answer + separator) per example + question; a chat is
// rendered by the model's template with its generation prompt, and the answer follows at once.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "data/text_tools.h"
#include "eval/recipe.h"
#include "eval/rows.h"

namespace gradus {

class PromptMaker {
 public:
  // Reads the examples. Both arguments must outlive it. Throws gradus::Error when the recipe wants
  // a chat and the model has no template.
  PromptMaker(const PromptRecipe& recipe, const TextTools& tools);

  std::string prompt(const EvalRow& row) const;
  // The answer that the row holds: a member (text or number), or its last assistant turn.
  Json answer(const EvalRow& row) const;

  // The end-of-turn token's text as the template writes it behind an assistant turn.
  std::string end_of_turn() const;
  // What stands between prompt and answer.
  std::string delimiter() const { return recipe_.chat ? "" : recipe_.delimiter; }
  bool chat() const { return recipe_.chat; }
  int64_t examples() const { return static_cast<int64_t>(examples_.size()); }
  // A fingerprint of all that prompts are made from besides the rows.
  const Json& description() const { return description_; }

 private:
  Json question_turns(const EvalRow& row) const;
  std::string answer_text(const EvalRow& row) const;
  std::string chat_prompt(const EvalRow& row) const;
  std::string text_prompt(const EvalRow& row) const;
  std::string render(const Json& messages, const std::string& where) const;
  void read_examples();

  const PromptRecipe& recipe_;
  const TextTools& tools_;
  std::vector<EvalRow> examples_;
  Json description_;
};

// lm-evaluation-harness's _encode_pair: white space at the end of the prompt moves to the
// continuation, and the continuation is what the whole has more tokens than the prompt. An empty
// prompt is the prefix token.
class PairEncoder {
 public:
  // Chat templates write their special tokens themselves. kTurn: the continuation is a whole turn,
  // and all of the prompt stays in the prompt, as a server computes it.
  enum class Mode { kText, kChat, kTurn };
  PairEncoder(const TextTools& tools, Mode mode);

  struct Pair {
    std::vector<TokenId> prompt, continuation;
  };
  Pair encode(std::string_view prompt, std::string_view continuation) const;
  std::vector<TokenId> encode_text(std::string_view text) const;
  TokenId prefix_token() const { return prefix_token_; }

 private:
  const TextTools& tools_;
  Mode mode_;
  TokenId prefix_token_ = 0;  // BOS, else EOS
  std::string prefix_text_;
};

}  // namespace gradus
