// SPDX-License-Identifier: Apache-2.0
// The fast ways against the plain ones: byte-pair encoding in linear time against merging by rank,
// hand-written word scanners against the regular expression engine.
#include "text/tokenizer/byte_bpe.h"

#include <map>
#include <random>

#include "support/catch.h"
#include "text/tokenizer/regex.h"
#include "text/tokenizer/word_scanner.h"
#include "text/unicode.h"
#include "text/unicode_classes.h"

using namespace gradus;

namespace {

using Random = std::mt19937;

size_t below(Random& random, size_t count) { return random() % count; }

std::string random_text(Random& random, const std::vector<std::string>& alphabet, size_t length) {
  std::string out;
  for (size_t i = 0; i < length; ++i) out += alphabet[below(random, alphabet.size())];
  return out;
}

// A vocabulary of bytes and of tokens merged from pairs that stand in random texts. In sorted
// order, as training makes it, parts come before wholes; else the ranks are shuffled.
struct Table {
  std::vector<std::string> tokens;
  std::array<TokenId, 256> byte_ids;
  MergeTable merges;

  Table(Random& random, const std::vector<std::string>& alphabet, bool shuffled) {
    for (int byte = 0; byte < 256; ++byte) {
      byte_ids[static_cast<size_t>(byte)] = byte;
      tokens.push_back(std::string(1, static_cast<char>(byte)));
    }
    std::map<std::string, TokenId> ids;
    for (TokenId id = 0; id < 256; ++id) ids[tokens[static_cast<size_t>(id)]] = id;
    struct Pair {
      TokenId left, right, made;
    };
    std::vector<Pair> pairs;
    const std::string text = random_text(random, alphabet, 400);
    for (int i = 0; i < 300; ++i) {
      const size_t at = below(random, text.size()), bytes = 2 + below(random, 7);
      const std::string made = text.substr(at, bytes);
      const size_t cut = 1 + below(random, made.size());
      const auto left = ids.find(made.substr(0, cut)),
                 right = ids.find(made.substr(std::min(cut, made.size())));
      if (left == ids.end() || right == ids.end()) continue;
      const auto [found, added] = ids.emplace(made, static_cast<TokenId>(tokens.size()));
      if (added) tokens.push_back(made);
      pairs.push_back({left->second, right->second, found->second});
    }
    if (shuffled) std::shuffle(pairs.begin(), pairs.end(), random);
    merges.reserve(pairs.size() + 1);
    uint32_t rank = 0;
    for (const Pair& pair : pairs) merges.set(pair.left, pair.right, {rank++, pair.made});
  }

  std::vector<TokenId> merged(const std::string& text) const {
    std::vector<Symbol> symbols;
    for (const char c : text) symbols.push_back({byte_ids[static_cast<unsigned char>(c)], 1});
    merge_symbols(merges, symbols, 0);
    std::vector<TokenId> out;
    for (const Symbol& symbol : symbols) out.push_back(symbol.id);
    return out;
  }
};

std::vector<uint32_t> regex_ends(const Regex& regex, const std::string& text) {
  std::vector<uint32_t> ends;
  size_t last = 0;
  regex.for_each(text, [&](size_t begin, size_t end) {
    if (begin != last) ends.push_back(static_cast<uint32_t>(begin));  // what lies before a match
    ends.push_back(static_cast<uint32_t>(end));
    last = end;
  });
  if (last < text.size()) ends.push_back(static_cast<uint32_t>(text.size()));
  return ends;
}

}  // namespace

TEST_CASE("byte-pair encoding in linear time equals merging by rank") {
  const bool shuffled = GENERATE(false, true);
  const std::vector<std::string> alphabet = {"a", "b", "ab", " ", "é", "你", "他", "好", "🎉"};
  Random random(shuffled ? 1 : 2);
  size_t fast = 0, merged = 0, wrong = 0;
  for (int table = 0; table < 60; ++table) {
    const Table made(random, alphabet, shuffled);
    const ByteBpe bpe([&](TokenId id) { return made.tokens[static_cast<size_t>(id)]; },
                      static_cast<TokenId>(made.tokens.size()), made.byte_ids, made.merges);
    REQUIRE(bpe.usable());
    for (int i = 0; i < 60; ++i) {
      const std::string text = random_text(random, alphabet, 1 + below(random, 40));
      std::vector<TokenId> ids;
      const bool done = bpe.encode(text, ids);
      wrong += done ? ids != made.merged(text) : !ids.empty();
      (done ? fast : merged) += 1;
    }
  }
  CHECK(wrong == 0);
  CHECK(fast > 400);
  if (shuffled) CHECK(merged > 100);
}

TEST_CASE("byte-pair encoding in linear time takes pieces cut inside characters") {
  const std::vector<std::string> alphabet = {"a", " ", "é", "你", "他", "好", "🎉"};
  Random random(4);
  size_t wrong = 0, fast = 0;
  for (int table = 0; table < 40; ++table) {
    Table made(random, alphabet, false);
    made.byte_ids[3] = -1;  // no token for this byte
    const ByteBpe bpe([&](TokenId id) { return made.tokens[static_cast<size_t>(id)]; },
                      static_cast<TokenId>(made.tokens.size()), made.byte_ids, made.merges);
    REQUIRE(bpe.usable());
    for (int i = 0; i < 60; ++i) {
      const std::string text = random_text(random, alphabet, 2 + below(random, 20));
      const size_t begin = below(random, text.size());
      const std::string piece = text.substr(begin, 1 + below(random, text.size() - begin));
      std::vector<TokenId> ids;
      fast += bpe.encode(piece, ids);
      wrong += !ids.empty() && ids != made.merged(piece);
      ids.clear();
      wrong += bpe.encode(piece + "\x03", ids) || !ids.empty();
    }
  }
  CHECK(wrong == 0);
  CHECK(fast > 1000);
}

TEST_CASE("character classes equal those of the regular expression engine") {
  struct Row {
    const char* pattern;
    uint8_t char_class;
  };
  const Row row = GENERATE(Row{"\\p{L}", kLetterChar}, Row{"\\p{N}", kNumberChar},
                           Row{"\\s", kSpaceChar}, Row{"[\\p{Lu}\\p{Lt}]", kUpperChar},
                           Row{"\\p{Ll}", kLowerChar}, Row{"[\\p{Lm}\\p{Lo}]", kCaselessChar},
                           Row{"\\p{M}", kMarkChar}, Row{"[\\p{P}\\p{S}]", kSymbolChar});
  INFO(row.pattern);
  std::string all;
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c < 0xD800 || c > 0xDFFF) append_utf8(all, c);
  }
  std::vector<char32_t> matched;
  Regex(row.pattern, "test").for_each(all, [&](size_t begin, size_t) {
    matched.push_back(decode_utf8(all, begin).value);
  });
  std::vector<char32_t> classed;
  for (char32_t c = 0; c < 0x110000; ++c) {
    if ((c < 0xD800 || c > 0xDFFF) && (char_classes()[c] & row.char_class)) classed.push_back(c);
  }
  REQUIRE(!matched.empty());
  CHECK(classed == matched);
}

TEST_CASE("word scanners find the words of their regular expressions") {
  const std::string pattern = GENERATE(kGpt2Pattern, kLlama3Pattern, kQwen2Pattern, kCl100kPattern,
                                       kQwen35Pattern, kTekkenPattern, kGpt4oPattern, kThreeDigits,
                                       kDeepseek3Numbers, kDeepseek3Cjk, kDeepseek3Pattern);
  REQUIRE(find_word_pattern(pattern));
  const auto scanner = find_word_pattern(pattern)->scanner();
  const Regex regex(pattern, "test");
  const std::vector<std::string> alphabet = {
      "a",  "B",  "'",  "s",      "S",      "ſ",      "t",      "r",      "e",
      "v",  "E",  "l",  "L",      "L",      "d",      " ",      " ",      " ",
      "\n", "\r", "\t", "　",     "\u0085", "1",      "2",      "²",      "٣",
      "é",  "你", "好", "。",     "!",      "-",      "_",      "\u0301", "ǅ",
      "ʰ",  "Z",  "/",  "あ",     "ー",     "\u3040", "$",      "\x01",   "\u0903",
      "龥", "龦", "🎉",  "\u00A0", "\u2028", "\u180E", "\u200B", "",       std::string(1, '\0')};
  Random random(3);
  size_t wrong = 0, words = 0;
  for (int i = 0; i < 20000; ++i) {
    const std::string text = random_text(random, alphabet, below(random, 24));
    std::vector<uint32_t> ends;
    scanner->scan(text, ends);
    words += ends.size();
    if (ends == regex_ends(regex, text)) continue;
    if (wrong++ == 0) UNSCOPED_INFO(text);
  }
  CHECK(wrong == 0);
  CHECK(words > 15000);
}
