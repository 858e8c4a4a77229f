// SPDX-License-Identifier: Apache-2.0
#include "serve/protocol/answer_text.h"

namespace gradus {

AnswerText::AnswerText(const Tokenizer& tokenizer, std::vector<std::string> stops, Keep keep)
    : decoder_(tokenizer), matcher_(std::move(stops)), keep_(keep) {}

AnswerPiece AnswerText::push(const GeneratedToken& token) {
  const std::string text = decoder_.push(token.id);
  if (keep_ == Keep::kTokens)
    waiting_.push_back({.token = token, .begin = decoded_, .end = decoded_ + text.size()});
  decoded_ += text.size();
  return release(matcher_.push(text));
}

AnswerPiece AnswerText::finish() {
  const std::string rest = decoder_.finish();
  decoded_ += rest.size();
  std::string text = matcher_.push(rest);
  text += matcher_.finish();
  finished_ = true;
  return release(std::move(text));
}

AnswerPiece AnswerText::release(std::string text) {
  released_ += text.size();
  AnswerPiece piece{.text = std::move(text), .tokens = {}};
  while (!waiting_.empty() && is_out(waiting_.front())) {
    piece.tokens.push_back(std::move(waiting_.front().token));
    waiting_.pop_front();
  }
  return piece;
}

// A token without text of its own (a part of a character) goes with what follows it.
bool AnswerText::is_out(const Waiting& token) const {
  if (stopped()) return token.begin < released_;
  if (finished_) return true;
  return token.begin < token.end ? token.end <= released_ : token.end < released_;
}

}  // namespace gradus
