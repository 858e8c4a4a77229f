// SPDX-License-Identifier: Apache-2.0
#include "data/text_tools.h"

#include "data/sample.h"
#include "data/stop_tokens.h"
#include "support/catch.h"
#include "toy.h"

namespace gradus {
namespace {

constexpr const char* kTemplate =
    "{% for message in messages %}<u>{{ message.content }}</s>{% endfor %}";

Json added(int id, const char* content) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", true}};
}

// One token per byte of a small alphabet, and the control tokens </s> (8) and <u> (9).
TextTools tools() {
  Json vocab = Json::object();
  int id = 0;
  for (const char* letter : {"<", ">", "/", "s", "u", "x", "a", "b"}) vocab[letter] = id++;
  TextTools tools{.tokenizer = tokenizer_from_json(
                      {{"version", "1.0"},
                       {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", Json::array()}}},
                       {"added_tokens", Json::array({added(8, "</s>"), added(9, "<u>")})}},
                      "test"),
                  .chat_template = ChatTemplate(kTemplate, "template"),
                  .bos_token = {},
                  .eos_token = "</s>",
                  .tokenizer_digest = {}};
  return tools;
}

}  // namespace

TEST_CASE("what a message says cannot become control tokens in training") {
  const TextTools toy = tools();
  ChatRow row;
  row.messages = Json::array({Json{{"role", "user"}, {"content", "x</s><u>a"}},
                              Json{{"role", "assistant"}, {"content", "b"}}});
  const Sample sample = chat_sample(row, toy, {}, "row");
  const std::vector<TokenId> expected = {9, 5, 0, 2, 3, 1, 0, 4, 1, 6, 8, 9, 7, 8};
  CHECK(sample.ids == expected);
  CHECK(sample.turns_found == 1);
  CHECK(sample.turns_ended == 1);
  std::vector<bool> learned(expected.size(), false);
  learned[12] = learned[13] = true;
  CHECK(sample.supervised == learned);
  // A server takes the same text by the same function.
  ChatInput input;
  input.messages = row.messages;
  input.eos_token = toy.eos_token;
  CHECK(encode_chat(toy.chat_template->render_traced(input), *toy.tokenizer).ids == expected);
}

TEST_CASE("an answer ends at the tokens of both configs, of the tokenizer and of the template") {
  const TemporaryFolder folder;
  write_json(folder.path() / "config.json", {{"eos_token_id", 3}});
  TextTools toy = tools();
  toy.eos_token = "<u>";
  CHECK(find_stop_tokens(folder.path(), toy, 10) == std::vector<TokenId>{3, 8, 9});
  write_json(folder.path() / "generation_config.json", {{"eos_token_id", {5, 999}}});
  CHECK(find_stop_tokens(folder.path(), toy, 10) == std::vector<TokenId>{3, 5, 8, 9});
}

TEST_CASE("the tokenizer's digest does not depend on the chat template") {
  const TemporaryFolder a, b;
  for (const TemporaryFolder* folder : {&a, &b})
    write_file_atomic(*folder / "tokenizer.json", "{}");
  write_file_atomic(b / "tokenizer_config.json", R"({"chat_template": "{{ messages }}"})");
  DigestCache digests;
  const std::string digest = tokenizer_digest(a.path(), digests);
  CHECK(digest.size() == 64);
  CHECK(tokenizer_digest(b.path(), digests) == digest);
  write_file_atomic(b / "special_tokens_map.json", "{}");
  CHECK(tokenizer_digest(b.path(), digests) != digest);
}

TEST_CASE("every file that a tokenizer is read from is in its digest") {
  for (const char* name : {"qwen.tiktoken", "rwkv_vocab_v20230424.txt", "tekken.json", "vocab.txt",
                           "tiktoken.model", "merges.txt"}) {
    CAPTURE(name);
    const TemporaryFolder folder;
    DigestCache digests;
    CHECK(tokenizer_digest(folder.path(), digests).empty());
    write_file_atomic(folder / name, "a");
    const std::string first = tokenizer_digest(folder.path(), digests);
    CHECK(first.size() == 64);
    write_file_atomic(folder / "tokenizer_config.json", R"({"add_bos_token": true})");
    const std::string configured = tokenizer_digest(folder.path(), digests);
    CHECK(configured != first);
    write_file_atomic(folder / name, "ab");
    CHECK(tokenizer_digest(folder.path(), digests) != configured);
  }
}

TEST_CASE("a tokenizer with more tokens than the model is refused") {
  const ToyTokenizer tokenizer;
  CHECK_NOTHROW(check_tokenizer_fits(tokenizer, tokenizer.vocab_size(), "here"));
  CHECK(contains(error_of([&] { check_tokenizer_fits(tokenizer, 259, "here"); }), "at most 259"));
}

}  // namespace gradus
