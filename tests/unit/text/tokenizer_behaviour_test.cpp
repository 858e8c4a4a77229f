// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"
#include "base/signals.h"
#include "text/tokenizer/regex.h"
#include "text/unicode.h"
#include "tokenizer_helpers.h"

using namespace gradus;
using Spans = std::vector<std::pair<size_t, size_t>>;

namespace {

Spans spans_of(const Tokenizer& tokenizer, const std::string& text, SpecialTokens special) {
  Spans out;
  for (const ByteSpan& span : tokenizer.encode_with_spans(text, special).spans)
    out.push_back({span.begin, span.end});
  return out;
}

std::vector<std::string> matches(const std::string& pattern, const std::string& text) {
  std::vector<std::string> out;
  Regex(pattern, "test").for_each(text, [&](size_t begin, size_t end) {
    out.push_back(text.substr(begin, end - begin));
  });
  return out;
}

// Byte-level BPE without merges: one token per byte.
Json byte_tokenizer() {
  Json vocab = Json::object();
  const auto kept = fixture_tokenizer("byte_level_split");
  for (TokenId id = 0, next = 0; id < 256; ++id) vocab[kept->id_to_token(id)] = next++;
  return {
      {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", Json::array()}}},
      {"pre_tokenizer",
       {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}}},
      {"decoder", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}}}};
}

}  // namespace

TEST_CASE("a stop request ends a batch") {
  const auto tokenizer = tokenizer_from_json(byte_tokenizer(), "test");
  CHECK(tokenizer->encode_batch({"a", "b"}, SpecialTokens::kNone).size() == 2);
  request_stop(2);
  CHECK_THROWS_AS(tokenizer->encode_batch({"a", "b"}, SpecialTokens::kNone), Error);
  clear_stop_request();
}

TEST_CASE("every token of a split character has the span of the whole character") {
  const auto tokenizer = tokenizer_from_json(byte_tokenizer(), "bytes");
  CHECK(spans_of(*tokenizer, "a é", SpecialTokens::kNone) == Spans{{0, 1}, {1, 2}, {2, 4}, {2, 4}});
}

TEST_CASE("spans count the bytes of the input, not of its normal form") {
  const auto tokenizer = fixture_tokenizer("byte_level_split");  // has NFC, <s> … </s>
  const std::string text = "e\xCC\x81 <mask>";                   // e + combining acute
  const Spans spans = spans_of(*tokenizer, text, SpecialTokens::kAdd);
  REQUIRE(spans.size() >= 4);
  CHECK(spans.front() == std::pair<size_t, size_t>{0, 0});
  CHECK(spans[1] == std::pair<size_t, size_t>{0, 3});
  CHECK(spans[spans.size() - 2] == std::pair<size_t, size_t>{3, 10});  // lstrip takes the space
  CHECK(spans.back() == std::pair<size_t, size_t>{10, 10});
}

TEST_CASE("a stream gives whole characters only") {
  const auto tokenizer = tokenizer_from_json(byte_tokenizer(), "bytes");
  const auto ids = tokenizer->encode("é€", SpecialTokens::kNone);
  StreamDecoder decoder(*tokenizer);
  std::vector<std::string> parts;
  for (const TokenId id : ids) parts.push_back(decoder.push(id));
  CHECK(parts == std::vector<std::string>{"", "é", "", "", "€"});
  CHECK(decoder.finish() == "");
  decoder.push(ids[0]);
  CHECK(decoder.finish() == "\xEF\xBF\xBD");
}

TEST_CASE("any ids stream to what they decode to") {
  const auto* name =
      GENERATE("byte_level_split", "llama_prepend", "llama_metaspace", "word_piece", "word_level");
  const auto tokenizer = fixture_tokenizer(name);
  uint64_t state = 1;
  for (int round = 0; round < 300; ++round) {
    std::vector<TokenId> ids;
    for (int i = 0; i < 1 + round % 12; ++i) {
      state = state * 6364136223846793005ull + 1442695040888963407ull;
      ids.push_back(static_cast<TokenId>((state >> 33) % uint64_t(tokenizer->vocab_size() + 3)));
    }
    const auto special = round % 2 ? DecodeSpecial::kKeep : DecodeSpecial::kSkip;
    CHECK(stream(*tokenizer, ids, special) == tokenizer->decode(ids, special));
  }
}

TEST_CASE("tokens are found by id and by text") {
  const auto tokenizer = fixture_tokenizer("byte_level_split");
  const auto id = tokenizer->token_to_id("<mask>");
  REQUIRE(id);
  CHECK(tokenizer->id_to_token(*id) == "<mask>");
  CHECK(tokenizer->is_special(*id));
  CHECK_FALSE(tokenizer->is_special(*tokenizer->token_to_id("commits")));
  CHECK(tokenizer->token_bytes(*tokenizer->token_to_id("\xC4\xA0t")) == " t");
  CHECK_FALSE(tokenizer->token_to_id("no such token"));
  CHECK_THROWS_AS(tokenizer->id_to_token(TokenId(tokenizer->vocab_size())), Error);
  CHECK_THROWS_AS(tokenizer->id_to_token(-1), Error);
}

TEST_CASE("long inputs take linear time") {
  const auto tokenizer = fixture_tokenizer("byte_level_split");
  for (const char* part : {"a", " ", "ab", "\n", "1", "é", "\xCC\x81", "<mask>", "<s"}) {
    std::string text;
    while (text.size() < (1 << 19)) text += part;
    CHECK(tokenizer->decode(tokenizer->encode(text, SpecialTokens::kNone), DecodeSpecial::kKeep)
              .size() >= text.size());
  }
}

TEST_CASE("text that is not UTF-8 is refused with its place") {
  const auto tokenizer = fixture_tokenizer("byte_level_split");
  CHECK_THROWS_WITH(tokenizer->encode("ab\xFF", SpecialTokens::kNone),
                    Catch::Contains("byte 2") && Catch::Contains("UTF-8"));
}

TEST_CASE("regular expressions mean what Oniguruma means") {
  using Texts = std::vector<std::string>;
  CHECK(matches(R"(\s+)", "a\xE1\xA0\x8E b") == Texts{" "});  // U+180E is no space
  CHECK(matches(R"([\s]+)", "a\xC2\xA0 b") == Texts{"\xC2\xA0 "});
  CHECK(matches(R"(\p{N}{1,2}+)", "12345") == Texts{"12345"});
  CHECK(matches(R"([\w&&[^\d]]+)", "ab12c") == Texts{"ab", "c"});
  CHECK(matches(R"([^a[bc]]+)", "xbyac") == Texts{"x", "y"});
  CHECK(matches(R"(x(?i)a|b)", "xA xB B") == Texts{"xA", "xB"});
  CHECK(matches(R"(\h+)", "xyz0fG") == Texts{"0f"});
  CHECK(matches(R"(^.)", "ab\ncd") == Texts{"a", "c"});
  CHECK(matches(R"((?m:.)+)", "a\nb") == Texts{"a\nb"});
  CHECK(matches(R"(\u3042|\x41)", "Aあ") == Texts{"A", "あ"});
  CHECK(matches(R"(\p{Han}+)", "一ー〆𲎯") == Texts{"一", "𲎯"});  // by script, Unicode 15.0
  CHECK(matches("a*", "baac") == Texts{"", "aa", ""});
}

TEST_CASE("bad regular expressions are refused") {
  for (const char* pattern :
       {"(", ")", "[", "[a", "a{2}{3}", "\\", "(?{x})", "(*FAIL)", "\\p{Nope}", "\\p{", "(?<a",
        "\\x{110000}", "\\Q", "[z-a]", "(?(1)a)", "*", "[[:alpha:]", "\\C"}) {
    INFO(pattern);
    CHECK_THROWS_AS(Regex(pattern, "test"), Error);
  }
  CHECK_THROWS_AS(Regex(std::string(1 << 17, 'a'), "test"), Error);
  CHECK_THROWS_AS(Regex(std::string(5000, '('), "test"), Error);
  CHECK_THROWS_AS(Regex("((((a{99}){99}){99}){99})", "test"), Error);
  const Regex slow("(a+)+b", "test");
  CHECK_THROWS_AS(slow.find(std::string(60, 'a') + "c b", 0), Error);
}

TEST_CASE("ill-formed UTF-8 becomes one mark per maximal part") {
  CHECK(utf8_lossy("a\xE2\x82"
                   "b") ==
        "a\xEF\xBF\xBD"
        "b");
  CHECK(utf8_lossy("\xF0\x9F\x98") == "\xEF\xBF\xBD");
  CHECK(utf8_lossy("\xE0\x80\x80") == "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
  CHECK(utf8_lossy("\xED\xA0\x80") == "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
  CHECK(unfinished_utf8("a\xE2\x82") == 2);
  CHECK(unfinished_utf8("a\xE2\x82\xAC") == 0);
  CHECK(unfinished_utf8("\xE0\x80") == 0);
  CHECK(*find_invalid_utf8("abcdefgh\xC0\x80") == 8);
}
