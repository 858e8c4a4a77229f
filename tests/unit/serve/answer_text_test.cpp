// SPDX-License-Identifier: Apache-2.0
#include "serve/protocol/answer_text.h"

#include <random>

#include "support/catch.h"
#include "unit/serve/toy_tokenizer.h"

using namespace gradus;

namespace {

GeneratedToken token(int32_t id) { return {.id = id, .logprob = -1, .top = {}}; }

struct Released {
  std::string text;
  std::vector<int32_t> ids;
};

void add(Released& all, const AnswerPiece& piece) {
  REQUIRE_FALSE(find_invalid_utf8(piece.text).has_value());
  all.text += piece.text;
  for (const GeneratedToken& one : piece.tokens) all.ids.push_back(one.id);
}

Released run(const Tokenizer& tokenizer, const std::vector<int32_t>& ids,
             const std::vector<std::string>& stops) {
  AnswerText answer(tokenizer, stops, AnswerText::Keep::kTokens);
  Released all;
  for (const int32_t id : ids) {
    add(all, answer.push(token(id)));
    if (answer.stopped()) return all;
  }
  add(all, answer.finish());
  return all;
}

}  // namespace

TEST_CASE("the pieces of an answer make up its text, whole characters each") {
  const ToyTokenizer tokenizer;
  std::mt19937 random(3);
  for (int round = 0; round < 500; ++round) {
    std::vector<int32_t> ids;
    for (int i = 0; i < 25; ++i) ids.push_back(static_cast<int32_t>(random() % 160));
    const Released all = run(tokenizer, ids, {});
    CHECK(all.text == tokenizer.decode(ids, DecodeSpecial::kSkip));
    CHECK(all.ids == ids);
  }
}

TEST_CASE("an answer with stop strings is the answer without them, cut") {
  const ToyTokenizer tokenizer;
  std::mt19937 random(4);
  int stopped = 0;
  for (int round = 0; round < 500; ++round) {
    std::vector<int32_t> ids;
    for (int i = 0; i < 25; ++i) ids.push_back(static_cast<int32_t>(random() % 160));
    const std::string whole = tokenizer.decode(ids, DecodeSpecial::kSkip);
    const Released all = run(tokenizer, ids, {"ab", "\xC3\xA9"});
    const size_t cut = std::min(whole.find("ab"), whole.find("\xC3\xA9"));
    stopped += cut != std::string::npos ? 1 : 0;
    CHECK(all.text == whole.substr(0, cut));
    CHECK(all.ids.size() <= ids.size());
    CHECK(std::equal(all.ids.begin(), all.ids.end(), ids.begin()));
  }
  CHECK(stopped > 100);
}

TEST_CASE("tokens come with the text that they complete") {
  const ToyTokenizer tokenizer;
  AnswerText answer(tokenizer, {"cd"}, AnswerText::Keep::kTokens);
  CHECK(answer.push(token(0)).tokens.size() == 1);  // a
  const AnswerPiece held = answer.push(token(12));  // c, may begin the stop string
  CHECK(held.empty());
  const AnswerPiece both = answer.push(token(0));
  CHECK(both.text == "ca");
  CHECK(both.tokens.size() == 2);
}
