// SPDX-License-Identifier: Apache-2.0
// Ids and texts against those of the reference implementations: our small fixtures, and the real
// tokenizers of the acceptance data where it is present.
#include "base/error.h"
#include "tokenizer_helpers.h"

using namespace gradus;

namespace {

void check_case(const Tokenizer& tokenizer, const Json& example) {
  const auto text = example.at("text").get<std::string>();
  const auto ids = example.at("ids").get<std::vector<TokenId>>();
  INFO(text);
  CHECK(tokenizer.encode(text, SpecialTokens::kAdd) == ids);
  CHECK(tokenizer.encode(text, SpecialTokens::kNone) ==
        example.at("plain_ids").get<std::vector<TokenId>>());
  for (const auto& [special, key] :
       {std::pair{DecodeSpecial::kKeep, "decoded"}, {DecodeSpecial::kSkip, "skipped"}}) {
    CHECK(tokenizer.decode(ids, special) == example.at(key).get<std::string>());
    CHECK(stream(tokenizer, ids, special) == example.at(key).get<std::string>());
  }
}

fs::path acceptance() { return fs::path(GRADUS_SOURCE_DIR) / "../shared/acceptance/tokenizers"; }

std::unique_ptr<Tokenizer> load_acceptance(const std::string& name) {
  const fs::path folder = acceptance() / name;
  if (fs::exists(folder / "tokenizer.model"))
    return tokenizer_from_sentencepiece(folder / "tokenizer.model");
  return tokenizer_from_json(parse_json(read_gzip(folder / "tokenizer.json.gz"), name), name);
}

// Spans are ascending, lie in the text, and never cut a character.
void check_spans(const Tokenizer& tokenizer, const std::string& text) {
  const Encoding encoding = tokenizer.encode_with_spans(text, SpecialTokens::kNone);
  REQUIRE(encoding.spans.size() == encoding.ids.size());
  size_t last = 0;
  const auto boundary = [&](size_t at) { return at == text.size() || (text[at] & 0xC0) != 0x80; };
  for (const ByteSpan& span : encoding.spans) {
    const bool good = span.begin >= last && span.begin <= span.end && span.end <= text.size() &&
                      boundary(span.begin) && boundary(span.end);
    CHECK(good);
    last = span.begin;
  }
}

}  // namespace

TEST_CASE("small tokenizers of each kind agree with the tokenizers package") {
  const auto* name = GENERATE("byte_level_split", "byte_level_steps", "llama_prepend",
                              "llama_metaspace", "word_piece", "word_level");
  INFO(name);
  const Json document = read_json(tokenizer_fixture(name));
  const auto tokenizer = tokenizer_from_json(document.at("tokenizer"), name);
  for (const Json& example : document.at("cases")) {
    check_case(*tokenizer, example);
    check_spans(*tokenizer, example.at("text").get<std::string>());
  }
}

TEST_CASE("real tokenizers agree with the acceptance data") {
  if (!fs::exists(acceptance())) {
    WARN("skipped: ../shared/acceptance is absent");
    return;
  }
  const auto* name = GENERATE("gpt-2", "qwen2", "falcon", "llama-bpe", "llama-spm");
  INFO(name);
  const auto tokenizer = load_acceptance(name);
  const Json texts = parse_json(read_gzip(acceptance() / "texts.json.gz"), "texts");
  const Json ids = parse_json(read_gzip(acceptance() / name / "expected.json.gz"), "expected");
  const Json decoded = parse_json(read_gzip(acceptance() / name / "decoded.json.gz"), "decoded");
  REQUIRE(texts.size() == ids.size());
  size_t wrong_ids = 0, wrong_texts = 0, wrong_streams = 0, wrong_spans = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto text = texts[i].get<std::string>();
    const auto expected = ids[i].get<std::vector<TokenId>>();
    wrong_ids += tokenizer->encode(text, SpecialTokens::kNone) != expected;
    wrong_texts += tokenizer->decode(expected, DecodeSpecial::kKeep) != decoded[i];
    wrong_streams += stream(*tokenizer, expected, DecodeSpecial::kKeep) != decoded[i];
    wrong_spans += tokenizer->encode_with_spans(text, SpecialTokens::kNone).ids != expected;
    check_spans(*tokenizer, text);
  }
  CHECK(wrong_ids == 0);
  CHECK(wrong_texts == 0);
  CHECK(wrong_streams == 0);
  CHECK(wrong_spans == 0);
}
