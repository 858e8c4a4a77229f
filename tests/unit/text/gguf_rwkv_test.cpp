// SPDX-License-Identifier: Apache-2.0
// RWKV's vocabularies in GGUF files: what llama.cpp's converter writes, and what is no vocabulary.
#include "text/tokenizer/gguf_rwkv.h"

#include "base/error.h"
#include "base/temporary_folder.h"
#include "support/catch.h"
#include "text/tokenizer/rwkv_vocab.h"

using namespace gradus;
using Catch::Contains;

namespace {

const std::string kEnd = "<|rwkv_tokenizer_end_of_text|>";

Json metadata(const Json& tokens, const Json& types) {
  return {{"tokenizer.ggml.model", "rwkv"},
          {"tokenizer.ggml.tokens", tokens},
          {"tokenizer.ggml.token_type", types}};
}

std::string refusal(const Json& tokens, const Json& types) {
  try {
    rwkv_vocabulary_from_gguf(metadata(tokens, types), "m.gguf");
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

}  // namespace

TEST_CASE("literals are those of Python's repr") {
  CHECK(python_literal("a b") == "b'a b'");
  CHECK(python_literal("it's") == "b\"it's\"");
  CHECK(python_literal("'\"") == "b'\\'\"'");
  CHECK(python_literal("\t\n\r\\") == "b'\\t\\n\\r\\\\'");
  CHECK(python_literal(std::string("\0\x7f\xe4", 3)) == "b'\\x00\\x7f\\xe4'");
  for (int byte = 0; byte < 256; ++byte) {
    const std::string bytes(2, static_cast<char>(byte));
    CHECK(read_python_literal(python_literal(bytes)) == bytes);
  }
}

TEST_CASE("the converter's vocabulary becomes a file of lines") {
  const Json tokens{"<s>", "a", "\\xe4", "\\n\\n", "'", "<|x|>", "[PAD6]"};
  const RwkvVocabulary found =
      rwkv_vocabulary_from_gguf(metadata(tokens, {3, 1, 1, 1, 1, 4, 5}), "m.gguf");
  CHECK(found.lines == "1 b'a' 1\n2 b'\\xe4' 1\n3 b'\\n\\n' 2\n4 b\"'\" 1\n");
  CHECK(found.end_of_text == kEnd);  // as the published folders write it
  CHECK(found.added.size() == 2);
  CHECK(found.added.at("0").at("content") == kEnd);
  CHECK(found.added.at("5").at("special") == false);
  const auto tokenizer =
      tokenizer_from_rwkv(found.lines, {{"added_tokens_decoder", found.added}}, "t");
  CHECK(tokenizer->encode("a\n\n'<|x|>" + kEnd, SpecialTokens::kNone) ==
        std::vector<TokenId>{1, 3, 4, 5, 0});
}

TEST_CASE("a folder's vocabulary is written as the converter writes it") {
  const TemporaryFolder folder;
  write_file_atomic(folder / "rwkv_vocab_v1.txt",
                    "1 'a' 1\n2 b'\\xe4' 1\n3 '\\n\\n' 2\n5 '\xe4\xb8\xad' 3\n");
  GgufVocabulary out;
  fill_rwkv_tokens(*find_rwkv_vocabulary(folder.path()), Json::object(), 7, out);
  CHECK(out.model == "rwkv");
  CHECK(out.tokens == std::vector<std::string>{kRwkvEndOfText, "a", "\\xe4", "\\n\\n", "[PAD4]",
                                               "\\xe4\\xb8\\xad", "[PAD6]"});
  CHECK(out.types == std::vector<int32_t>{3, 1, 1, 1, 5, 1, 5});
  const RwkvVocabulary back = rwkv_vocabulary_from_gguf(metadata(out.tokens, out.types), "m.gguf");
  CHECK(back.added.empty());  // nobody said how id 0 is written
  CHECK_THROWS_WITH(fill_rwkv_tokens(folder / "rwkv_vocab_v1.txt", Json::object(), 5, out),
                    Contains("does not fit") && Contains("6"));
}

TEST_CASE("added tokens are escaped in the file and not in the folder") {
  const TemporaryFolder folder;
  write_file_atomic(folder / "rwkv_vocab_v1.txt", "1 'a' 1\n");
  const auto token = [](const char* text) { return Json{{"content", text}, {"special", false}}; };
  const Json config{
      {"added_tokens_decoder", {{"2", token("<a\\n>")}, {"3", token("<\n\xe4\xb8\xad'>")}}}};
  GgufVocabulary out;
  fill_rwkv_tokens(folder / "rwkv_vocab_v1.txt", config, 4, out);
  CHECK(out.tokens[2] == "<a\\\\n>");
  CHECK(out.tokens[3] == "<\n\xe4\xb8\xad'>");
  const RwkvVocabulary back = rwkv_vocabulary_from_gguf(metadata(out.tokens, out.types), "m.gguf");
  for (const char* id : {"2", "3"})
    CHECK(back.added.at(id).at("content") ==
          config.at("added_tokens_decoder").at(id).at("content"));
  const RwkvVocabulary escaped =
      rwkv_vocabulary_from_gguf(metadata({"\\x3cs>", "a", "\\xe4\\xb8\\xad"}, {3, 1, 3}), "m.gguf");
  CHECK(escaped.added.at("0").at("content") == "<s>");
  CHECK(escaped.added.at("2").at("content") == "\xe4\xb8\xad");
  CHECK(rwkv_token_text("\\n\\n") == "\n\n");
  CHECK(rwkv_token_text("\\xe4") == std::nullopt);
  CHECK(rwkv_token_text("\\") == std::nullopt);
}

TEST_CASE("what is no vocabulary is refused by its token") {
  CHECK_THAT(refusal({"<s>", "a", "a"}, {3, 1, 1}), Contains("m.gguf") && Contains("twice"));
  CHECK_THAT(refusal({"<s>", "\\x4"}, {3, 1}), Contains("token 1") && Contains("Python"));
  CHECK_THAT(refusal({"<s>", "\\"}, {3, 1}), Contains("token 1"));
  CHECK_THAT(refusal({"<s>", "a", "\\xe4"}, {3, 1, 3}), Contains("token 2") && Contains("UTF-8"));
  CHECK_THAT(refusal({"<s>", ""}, {3, 1}), Contains("m.gguf"));
  CHECK_THAT(refusal({"<s>", "a"}, {3}), Contains("token_type"));
  CHECK_THAT(refusal({"<s>", "a"}, {3, "x"}), Contains("token_type"));
  CHECK_THAT(refusal({"<s>", 7}, {3, 1}), Contains("token 1"));
  CHECK_THAT(refusal({"<s>"}, {3}), Contains("empty"));
  CHECK_THAT(refusal(7, {3}), Contains("tokenizer.ggml.tokens"));
}
