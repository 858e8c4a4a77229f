// SPDX-License-Identifier: Apache-2.0
// Text from strangers inside a conversation: its tokens may not steer.
#include "support/catch.h"
#include "text/tokenizer.h"
#include "text/tokenizer/rwkv_vocab.h"

using namespace gradus;

namespace {

using Ids = std::vector<TokenId>;

Json added(int id, const char* content, bool special, bool normalized) {
  return {{"id", id},        {"content", content},       {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", normalized}, {"special", special}};
}

// One token per byte of a small alphabet, and three added tokens: special, a turn marker that is
// not special, and a harmless one.
std::unique_ptr<Tokenizer> bpe() {
  Json vocab = Json::object();
  int id = 0;
  for (const char* letter : {"<", ">", "/", "s", "u", "x", "a", "b"}) vocab[letter] = id++;
  return tokenizer_from_json(
      {{"version", "1.0"},
       {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", Json::array()}}},
       {"added_tokens", Json::array({added(8, "</s>", true, false), added(9, "<u>", false, true),
                                     added(10, "ab", false, true)})}},
      "test");
}

// The model itself knows "</s>" as a word.
std::unique_ptr<Tokenizer> word_level() {
  const Json vocab{{"?", 0}, {"</s>", 1}, {"<", 2}, {"/s>", 3}, {"x", 4}};
  return tokenizer_from_json(
      {{"version", "1.0"},
       {"pre_tokenizer", {{"type", "WhitespaceSplit"}}},
       {"model", {{"type", "WordLevel"}, {"vocab", vocab}, {"unk_token", "?"}}},
       {"added_tokens", Json::array({added(1, "</s>", true, false)})}},
      "test");
}

}  // namespace

TEST_CASE("control tokens are text inside data and tokens outside of it") {
  const auto tokenizer = bpe();
  const std::string text = "x</s><u>x";
  CHECK(tokenizer->encode_guarded(text, {}).ids == Ids{5, 8, 9, 5});
  CHECK(tokenizer->encode(text, SpecialTokens::kNone) == Ids{5, 8, 9, 5});
  CHECK(tokenizer->encode_guarded(text, {{0, 9}}).ids == Ids{5, 0, 2, 3, 1, 0, 4, 1, 5});
  CHECK(tokenizer->encode_guarded(text, {{1, 5}}).ids == Ids{5, 0, 2, 3, 1, 9, 5});
  CHECK(tokenizer->encode_guarded(text, {{5, 8}}).ids == Ids{5, 8, 0, 4, 1, 5});
}

TEST_CASE("a control token is not put together from data and what surrounds it") {
  const auto tokenizer = bpe();
  CHECK(tokenizer->encode_guarded("x</s>", {{0, 3}}).ids == Ids{5, 0, 2, 3, 1});
  CHECK(tokenizer->encode_guarded("</s>x", {{2, 5}}).ids == Ids{0, 2, 3, 1, 5});
  CHECK(tokenizer->encode_guarded("<</s>", {{0, 1}}).ids == Ids{0, 8});
}

TEST_CASE("added tokens that steer nothing stay tokens in data") {
  CHECK(bpe()->encode_guarded("xab", {{0, 3}}).ids == Ids{5, 10});
}

TEST_CASE("models that know a control token as a word do not give it for data") {
  const auto tokenizer = word_level();
  CHECK(tokenizer->encode_guarded("x </s> x", {}).ids == Ids{4, 1, 4});
  CHECK(tokenizer->encode_guarded("x </s> x", {{0, 8}}).ids == Ids{4, 2, 3, 4});
}

TEST_CASE("the tokens that a folder adds to RWKV's vocabulary are text inside data") {
  const Json config{{"added_tokens_decoder", {{"0", {{"content", "<s>"}}}}}};
  const auto tokenizer =
      tokenizer_from_rwkv("1 '<' 1\n2 's' 1\n3 '>' 1\n4 'ss' 2\n", config, "test");
  CHECK(tokenizer->encode("s<s>ss", SpecialTokens::kNone) == Ids{2, 0, 4});
  CHECK(tokenizer->encode_guarded("s<s>ss", {{0, 6}}).ids == Ids{2, 1, 2, 3, 4});
  CHECK(tokenizer->encode_guarded("<s>s", {{2, 4}}).ids == Ids{1, 2, 3, 2});
  CHECK(tokenizer->token_to_id("<s>") == 0);
  CHECK(tokenizer->decode({2, 0, 4}, DecodeSpecial::kSkip) == "sss");
}
