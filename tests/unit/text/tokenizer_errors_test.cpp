// SPDX-License-Identifier: Apache-2.0
// Broken and unsupported tokenizer files: each gives one gradus::Error that names the place.
#include "base/error.h"
#include "base/temporary_folder.h"
#include "text/tokenizer/gguf_vocab.h"
#include "tokenizer_helpers.h"

using namespace gradus;
using Catch::Contains;

namespace {

Json small() {
  return Json::parse(R"({"version": "1.0", "added_tokens": [], "normalizer": null,
    "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}})");
}

std::string message(const Json& document) {
  try {
    tokenizer_from_json(document, "t.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

Json with(const char* pointer, const Json& value) {
  Json document = small();
  document[Json::json_pointer(pointer)] = value;
  return document;
}

Json added(int64_t id, const std::string& content) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", true}};
}

Json gguf_vocabulary() {
  return Json::parse(R"({"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "gpt-2",
    "tokenizer.ggml.tokens": ["a", "b", "ab", "<|end|>"],
    "tokenizer.ggml.token_type": [1, 1, 1, 3], "tokenizer.ggml.merges": ["a b"],
    "tokenizer.ggml.bos_token_id": 3, "tokenizer.ggml.add_bos_token": true})");
}

}  // namespace

TEST_CASE("the small tokenizer is good") {
  const auto tokenizer = tokenizer_from_json(small(), "t.json");
  CHECK(tokenizer->encode("ab a", SpecialTokens::kAdd) == std::vector<TokenId>{2, 0});
  CHECK(tokenizer->decode({2, 0}, DecodeSpecial::kKeep) == "ab a");
}

TEST_CASE("unknown component types are refused by name") {
  for (const char* part : {"/normalizer", "/pre_tokenizer", "/post_processor", "/decoder"}) {
    CHECK_THAT(message(with(part, {{"type", "Mystery"}})), Contains("'Mystery' is not supported"));
    CHECK_THAT(message(with(part, {{"type", "Mystery"}})), Contains(part + 1));
    CHECK_THAT(message(with(part, {{"no", "type"}})), Contains("'type' is missing"));
    CHECK_FALSE(message(with(part, 7)).empty());
  }
  CHECK_THAT(message(with("/model/type", "Mystery")), Contains("'Mystery' is not supported"));
  CHECK_THAT(message(with("/model/type", "Unigram")), Contains("'vocab'"));
  for (const char* map : {"*", "AAAA", "/////wAA"})
    CHECK_THAT(
        message(with("/normalizer", {{"type", "Precompiled"}, {"precompiled_charsmap", map}})),
        Contains("precompiled_charsmap"));
  CHECK_THAT(message(with("/version", "2.0")), Contains("version"));
}

TEST_CASE("bad vocabularies are refused") {
  CHECK_THAT(message(with("/model/vocab/a", -1)), Contains("no usable id"));
  CHECK_THAT(message(with("/model/vocab/a", 4000000000)), Contains("no usable id"));
  CHECK_THAT(message(with("/model/vocab/a", "x")), Contains("no usable id"));
  CHECK_THAT(message(with("/model/vocab/a", 1)), Contains("id 1 belongs to two tokens"));
  CHECK_THAT(message(with("/model/vocab", Json::array())), Contains("an object"));
  CHECK_THAT(message(with("/model", Json::object())), Contains("'type' is missing"));
  CHECK_THAT(message(Json::array()), Contains("not a tokenizer"));
  CHECK_THAT(message(with("/model/dropout", 0.1)), Contains("dropout"));
}

TEST_CASE("bad merges are refused with their index") {
  CHECK_THAT(message(with("/model/merges", {"a b", "a q"})),
             Contains("merges[1]") && Contains("'q'"));
  CHECK_THAT(message(with("/model/merges", {"b a"})), Contains("'ba'"));
  for (const Json& merge : {Json("ab"), Json("a b c"), Json(7), Json::array({"a"}), Json()})
    CHECK_THAT(message(with("/model/merges", Json::array({merge}))), Contains("not a pair"));
  CHECK_THAT(message(with("/model/merges", "a b")), Contains("merges"));
}

TEST_CASE("bad added tokens are refused") {
  CHECK_THAT(message(with("/added_tokens", Json::array({added(-1, "x")}))),
             Contains("added_tokens[0]"));
  CHECK_THAT(message(with("/added_tokens", Json::array({added(int64_t{1} << 40, "x")}))),
             Contains("out of range"));
  CHECK_THAT(message(with("/added_tokens", Json::array({7}))), Contains("added_tokens[0]"));
  CHECK_THAT(message(with("/added_tokens", Json::array({added(3, std::string(100000, 'x'))}))),
             Contains("too long"));
  CHECK_THAT(message(with("/added_tokens", 7)), Contains("a list"));
}

TEST_CASE("bad patterns and templates are refused with their place") {
  const Json split = {{"type", "Split"}, {"behavior", "Isolated"}, {"invert", false}};
  Json bad = split;
  bad["pattern"] = {{"Regex", "(("}};
  CHECK_THAT(message(with("/pre_tokenizer", bad)), Contains("pre_tokenizer"));
  bad["pattern"] = {{"Regex", "a"}};
  bad["behavior"] = "Sometimes";
  CHECK_THAT(message(with("/pre_tokenizer", bad)), Contains("'Sometimes'"));
  Json deep = {{"type", "NFC"}};
  for (int i = 0; i < 40; ++i) deep = {{"type", "Sequence"}, {"normalizers", Json::array({deep})}};
  CHECK_THAT(message(with("/normalizer", deep)), Contains("nested too deeply"));
  const Json no_token = {{"type", "TemplateProcessing"},
                         {"single", {{{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}}}},
                         {"special_tokens", Json::object()}};
  CHECK_THAT(message(with("/post_processor", no_token)), Contains("'<s>' is missing"));
}

TEST_CASE("a folder without a tokenizer names both files") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH(load_tokenizer(folder.path()),
                    Contains("tokenizer.json") && Contains("tokenizer.model"));
  CHECK_THROWS_WITH(load_tokenizer("/nonexistent"), Contains("does not exist"));
  const fs::path file = tokenizer_fixture("word_level");
  CHECK_THROWS_WITH(load_tokenizer(file), Contains("is a file, not a model folder"));
  CHECK_THROWS_WITH(tokenizer_from_sentencepiece(file), Contains("word_level.json"));
}

TEST_CASE("a GGUF vocabulary becomes a tokenizer") {
  const Json document = tokenizer_json_from_gguf(gguf_vocabulary(), "m.gguf");
  const auto tokenizer = tokenizer_from_json(document, "m.gguf");
  CHECK(tokenizer->encode("ab<|end|>b", SpecialTokens::kAdd) == std::vector<TokenId>{3, 2, 3, 1});
  CHECK(tokenizer->is_special(3));
}

TEST_CASE("a GGUF vocabulary with scores merges by score") {
  const Json metadata = Json::parse(R"({"tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": ["<unk>", "<s>", "a", "b", "c", "ab", "bc", "\u2581", "<0xC3>", "<0xA9>"],
    "tokenizer.ggml.scores": [0, 0, 0, 0, 0, -2, -1, 0, 0, 0],
    "tokenizer.ggml.token_type": [2, 3, 1, 1, 1, 1, 1, 1, 6, 6],
    "tokenizer.ggml.bos_token_id": 1})");
  const auto tokenizer =
      tokenizer_from_json(tokenizer_json_from_gguf(metadata, "m.gguf"), "m.gguf");
  CHECK(tokenizer->encode("abcé", SpecialTokens::kAdd) == std::vector<TokenId>{1, 7, 2, 6, 8, 9});
  CHECK(tokenizer->decode({1, 7, 2, 6, 8, 9}, DecodeSpecial::kSkip) == "abcé");
}

TEST_CASE("GGUF vocabularies of words and of scored pieces become tokenizers") {
  const Json words = Json::parse(R"({"tokenizer.ggml.model": "bert", "tokenizer.ggml.tokens":
    ["[UNK]", "[CLS]", "[SEP]", "\u2581un", "able", "\u2581!"], "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.seperator_token_id": 2, "tokenizer.ggml.unknown_token_id": 0})");
  const auto bert = tokenizer_from_json(tokenizer_json_from_gguf(words, "m.gguf"), "m.gguf");
  CHECK(bert->encode("Unable! no", SpecialTokens::kAdd) == std::vector<TokenId>{1, 3, 4, 5, 0, 2});
  CHECK(bert->decode({3, 4, 5}, DecodeSpecial::kSkip) == "unable!");
  const Json pieces = Json::parse(R"({"tokenizer.ggml.model": "t5", "tokenizer.ggml.tokens":
    ["<pad>", "</s>", "<unk>", "\u2581a", "b", "\u2581", "ab"], "tokenizer.ggml.scores":
    [0, 0, 0, -2, -2, -1.5, -3], "tokenizer.ggml.token_type": [3, 3, 2, 1, 1, 1, 1],
    "tokenizer.ggml.eos_token_id": 1, "tokenizer.ggml.unknown_token_id": 2})");
  const auto t5 = tokenizer_from_json(tokenizer_json_from_gguf(pieces, "m.gguf"), "m.gguf");
  CHECK(t5->encode("ab  bxx", SpecialTokens::kAdd) == std::vector<TokenId>{3, 4, 5, 4, 2, 1});
  CHECK(t5->decode({3, 4, 5, 4}, DecodeSpecial::kSkip) == "ab b");
}

TEST_CASE("broken GGUF vocabularies are refused by key") {
  const auto refusal = [](const char* key, const Json& value) {
    Json metadata = gguf_vocabulary();
    metadata[std::string("tokenizer.ggml.") + key] = value;
    try {
      tokenizer_from_json(tokenizer_json_from_gguf(metadata, "m.gguf"), "m.gguf");
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK_THAT(refusal("pre", "mystery-9"), Contains("tokenizer.ggml.pre") && Contains("mystery-9"));
  CHECK_THAT(refusal("model", "rwkv"), Contains("tokenizer.ggml.model") && Contains("'rwkv'"));
  CHECK_THAT(refusal("tokens", 7), Contains("tokenizer.ggml.tokens"));
  CHECK_THAT(refusal("tokens", Json::array({1})), Contains("not a short string"));
  CHECK_THAT(refusal("token_type", Json::array({1})), Contains("token_type"));
  CHECK_THAT(refusal("bos_token_id", 99), Contains("bos_token_id"));
  CHECK_THAT(refusal("merges", Json::array({"a x"})), Contains("merges[0]"));
  CHECK_THAT(refusal("tokens", {"a", "a", "b", "c"}), Contains("two ids"));
}
