// SPDX-License-Identifier: Apache-2.0
// From tokens to the text of one answer, piece by piece: UTF-8 safe, cut at stop strings, with the
// tokens that belong to each piece. A whole answer is the concatenation of its pieces by
// construction, so streamed and whole answers cannot differ.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "infer/request.h"
#include "text/stop_matcher.h"
#include "text/tokenizer.h"

namespace gradus {

struct AnswerPiece {
  std::string text;  // whole characters
  // Those whose text is complete by now. With a stop string: those that begin before it.
  std::vector<GeneratedToken> tokens;

  bool empty() const { return text.empty() && tokens.empty(); }
};

class AnswerText {
 public:
  enum class Keep { kTextOnly, kTokens };
  // The tokenizer must outlive it.
  AnswerText(const Tokenizer& tokenizer, std::vector<std::string> stops, Keep keep);

  AnswerPiece push(const GeneratedToken& token);  // not for the token that ends the answer
  AnswerPiece finish();                           // the rest; once
  bool stopped() const { return matcher_.stopped(); }

 private:
  struct Waiting {
    GeneratedToken token;
    size_t begin, end;  // of its text, in decoded bytes
  };
  AnswerPiece release(std::string text);
  bool is_out(const Waiting& token) const;

  StreamDecoder decoder_;
  StopMatcher matcher_;
  Keep keep_;
  std::deque<Waiting> waiting_;
  size_t decoded_ = 0, released_ = 0;  // bytes
  bool finished_ = false;
};

}  // namespace gradus
