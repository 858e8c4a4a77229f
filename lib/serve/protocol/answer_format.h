// SPDX-License-Identifier: Apache-2.0
// The JSON of answers, whole and in chunks, for the two routes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "serve/protocol/answer_text.h"

namespace gradus {

// What every object of one answer carries.
struct AnswerHead {
  std::string id;       // without its prefix
  int64_t created = 0;  // Unix time
  std::string model;
  std::string fingerprint;
  bool include_usage = false;  // chunks then have "usage": null
};

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;  // all that were computed: the end token and a stop string too
};

// A piece of one choice, or all of it.
struct ChoiceText {
  int64_t index = 0;
  AnswerPiece piece;
  size_t offset = 0;          // characters of this choice before the piece
  std::string finish_reason;  // "" while it goes on
  bool logprobs = false;
};

class AnswerFormat {
 public:
  virtual ~AnswerFormat() = default;
  // A chunk that opens a choice; null when there is none.
  virtual Json opening(int64_t index) const = 0;
  virtual Json chunk(const ChoiceText& text) const = 0;
  virtual Json usage_chunk(const Usage& usage) const = 0;  // the last chunk, without choices
  virtual Json whole(const std::vector<ChoiceText>& choices, const Usage& usage) const = 0;
};

// The tokenizer must outlive the format.
std::unique_ptr<AnswerFormat> chat_format(AnswerHead head, const Tokenizer& tokenizer);
std::unique_ptr<AnswerFormat> completion_format(AnswerHead head, const Tokenizer& tokenizer);

// One server-sent event.
std::string sse_event(const Json& data);
inline constexpr const char* kSseDone = "data: [DONE]\n\n";

}  // namespace gradus
