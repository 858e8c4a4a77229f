// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/word_scanner.h"

#include <algorithm>

#include "text/tokenizer/scan_cursor.h"

namespace gradus {
namespace {

// The functions named x_word return the end of the word that starts at `at`. [^\s\p{L}\p{N}] is
// what has none of these:
constexpr uint8_t kLetterNumberSpace = kLetterChar | kNumberChar | kSpaceChar;

size_t gpt2_word(const ScanCursor& text, size_t at) {
  if (const size_t end = text.contraction(at)) return end;
  const size_t start = text.byte(at) == ' ' ? at + 1 : at;
  const ClassedChar c = text.at(start);
  if (c.char_class & kSpaceChar) return text.space_word(at, text.skip_any(at, kSpaceChar));
  const uint8_t kind = c.char_class & (kLetterChar | kNumberChar);
  return kind ? text.skip_any(start + c.bytes, kind)
              : text.skip_none(start + c.bytes, kLetterNumberSpace);
}

// What Llama 3 and those after it end with: ` ?[^\s\p{L}\p{N}]+[\r\n]*` and space, where `letters`
// are the classes that words are made of.
template <uint8_t letters>
size_t symbols_or_space_word(const ScanCursor& text, size_t at) {
  constexpr uint8_t kNone = letters | kNumberChar | kSpaceChar;
  const size_t start = text.byte(at) == ' ' ? at + 1 : at;
  if (text.is(start, kNone)) return text.line_end_or_space_word(at);
  return text.skip_line_ends(text.skip_none(start, kNone));
}

// Llama 3, Qwen 2 and Qwen 3.5 differ in how many digits a word may have, and whether marks belong
// to letters.
template <int max_digits, uint8_t letters>
size_t llama3_word(const ScanCursor& text, size_t at) {
  if (const size_t end = text.any_contraction(at)) return end;
  const ClassedChar c = text.at(at);
  if (c.char_class & letters) return text.skip_any(at + c.bytes, letters);
  if (c.char_class & kNumberChar) return text.skip_numbers(at, max_digits);
  const size_t next = at + c.bytes;
  if (!text.is_line_end(at) && text.is(next, letters)) return text.skip_any(next, letters);
  return symbols_or_space_word<letters>(text, at);
}

// As Llama 3, but all space before the end is one word.
size_t cl100k_word(const ScanCursor& text, size_t at) {
  const size_t end = text.skip_any(at, kSpaceChar);
  return end > at && end == text.size() ? end : llama3_word<3, kLetterChar>(text, at);
}

// [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+ with its backtracking; 0: no match.
size_t capitals_then_small(const ScanCursor& text, size_t at) {
  size_t end = at, last_of_both = 0;
  while (true) {
    const ClassedChar c = text.at(end);
    if (!(c.char_class & (kUpperChar | kCaselessChar | kMarkChar))) break;
    end += c.bytes;
    if (!(c.char_class & kUpperChar)) last_of_both = end;
  }
  const size_t small = text.skip_any(end, kLowerChar | kCaselessChar | kMarkChar);
  return small > end ? small : last_of_both;
}

// The first two branches of tekken and o200k, the contraction apart; 0: no match. Without small
// letters the second branch takes capitals.
size_t cased_word(const ScanCursor& text, size_t at, const ClassedChar& c) {
  const auto capitals = [&](size_t begin) {
    const size_t end = text.skip_any(begin, kUpperChar | kCaselessChar | kMarkChar);
    return end > begin ? end : 0;
  };
  if (c.char_class & kLetterChar) {
    const size_t end = capitals_then_small(text, at);
    return end ? end : capitals(at);
  }
  if (text.is_line_end(at)) return 0;
  const size_t next = at + c.bytes;  // [^\r\n\p{L}\p{N}]? took c
  if (const size_t end = capitals_then_small(text, next)) return end;
  if (c.char_class & kMarkChar) return capitals_then_small(text, at);
  return capitals(next);
}

template <int max_digits, bool contractions>
size_t gpt4o_word(const ScanCursor& text, size_t at) {
  const ClassedChar c = text.at(at);
  if (c.char_class & kNumberChar) return text.skip_numbers(at, max_digits);
  if (const size_t end = cased_word(text, at, c)) {
    const size_t longer = contractions ? text.any_contraction(end) : 0;
    return longer ? longer : end;
  }
  const size_t start = text.byte(at) == ' ' ? at + 1 : at;
  if (text.is(start, kLetterNumberSpace)) return text.line_end_or_space_word(at);
  return text.skip_line_ends_and_slashes(text.skip_none(start, kLetterNumberSpace));
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

size_t three_digits_or_gap(const ScanCursor& text, size_t at) {
  const auto starts = [&](size_t place) {
    return is_digit(text.byte(place)) && is_digit(text.byte(place + 1)) &&
           is_digit(text.byte(place + 2));
  };
  if (starts(at)) return at + 3;
  while (at < text.size() && !starts(at)) ++at;
  return at;
}

size_t numbers_or_gap(const ScanCursor& text, size_t at) {
  return text.is(at, kNumberChar) ? text.skip_numbers(at, 3) : text.skip_none(at, kNumberChar);
}

bool is_deepseek_cjk(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FA5) || (c >= 0x3040 && c <= 0x30FF);
}

size_t deepseek3_cjk_or_gap(const ScanCursor& text, size_t at) {
  const bool wanted = is_deepseek_cjk(text.code_point(at));
  while (at < text.size() && is_deepseek_cjk(text.code_point(at)) == wanted) {
    at += text.at(at).bytes;
  }
  return at;
}

bool is_ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// 0 where there is no match.
size_t deepseek3_match(const ScanCursor& text, size_t at) {
  constexpr uint8_t kWord = kLetterChar | kMarkChar;
  const ClassedChar c = text.at(at);
  if (c.bytes == 1 && c.char_class & kSymbolChar && is_ascii_letter(text.byte(at + 1))) {
    size_t end = at + 1;
    while (is_ascii_letter(text.byte(end))) ++end;
    return end;
  }
  if (c.char_class & kWord) return text.skip_any(at + c.bytes, kWord);
  const size_t next = at + c.bytes;
  if (!(c.char_class & kSymbolChar) && !text.is_line_end(at) && text.is(next, kWord))
    return text.skip_any(next, kWord);
  const size_t start = text.byte(at) == ' ' ? next : at;
  if (text.is(start, kSymbolChar)) return text.skip_line_ends(text.skip_any(start, kSymbolChar));
  return c.char_class & kSpaceChar ? text.line_end_or_space_word(at) : 0;
}

size_t deepseek3_word(const ScanCursor& text, size_t at) {
  if (const size_t end = deepseek3_match(text, at)) return end;
  do {
    at += text.at(at).bytes;
  } while (at < text.size() && !deepseek3_match(text, at));
  return at;
}

template <size_t (*next_word)(const ScanCursor&, size_t)>
class Scanner : public WordScanner {
 public:
  static std::shared_ptr<const WordScanner> make() { return std::make_shared<Scanner>(); }
  void scan(std::string_view text, std::vector<uint32_t>& ends) const override {
    const ScanCursor cursor(text, classes_);
    for (size_t at = 0; at < text.size();) {
      at = next_word(cursor, at);
      ends.push_back(static_cast<uint32_t>(at));
    }
  }

 private:
  const uint8_t* classes_ = char_classes();
};

class ScannerChain : public WordScanner {
 public:
  explicit ScannerChain(std::vector<std::shared_ptr<const WordScanner>> scanners)
      : scanners_(std::move(scanners)) {}

  void scan(std::string_view text, std::vector<uint32_t>& ends) const override {
    std::vector<uint32_t> words, parts;
    scanners_.front()->scan(text, words);
    for (size_t i = 1; i < scanners_.size(); ++i) {
      parts.clear();
      cut_words(*scanners_[i], text, words, parts);
      words.swap(parts);
    }
    ends.insert(ends.end(), words.begin(), words.end());
  }

 private:
  static void cut_words(const WordScanner& scanner, std::string_view text,
                        const std::vector<uint32_t>& words, std::vector<uint32_t>& parts) {
    uint32_t begin = 0;
    for (const uint32_t end : words) {
      const size_t first = parts.size();
      scanner.scan(text.substr(begin, end - begin), parts);
      for (size_t i = first; i < parts.size(); ++i) parts[i] += begin;
      begin = end;
    }
  }

  std::vector<std::shared_ptr<const WordScanner>> scanners_;
};

constexpr WordPattern kWordPatterns[] = {
    {kGpt2Pattern, true, false, Scanner<gpt2_word>::make},
    {kLlama3Pattern, true, false, Scanner<llama3_word<3, kLetterChar>>::make},
    {kQwen2Pattern, true, false, Scanner<llama3_word<1, kLetterChar>>::make},
    {kCl100kPattern, true, false, Scanner<cl100k_word>::make},
    {kQwen35Pattern, true, false, Scanner<llama3_word<1, kLetterChar | kMarkChar>>::make},
    {kTekkenPattern, true, false, Scanner<gpt4o_word<1, false>>::make},
    {kGpt4oPattern, true, false, Scanner<gpt4o_word<3, true>>::make},
    {kThreeDigits, false, true, Scanner<three_digits_or_gap>::make},
    {kDeepseek3Numbers, false, false, Scanner<numbers_or_gap>::make},
    {kDeepseek3Cjk, false, false, Scanner<deepseek3_cjk_or_gap>::make},
    {kDeepseek3Pattern, false, false, Scanner<deepseek3_word>::make},
};

}  // namespace

const WordPattern* find_word_pattern(const std::string& pattern) {
  const auto* found = std::find_if(std::begin(kWordPatterns), std::end(kWordPatterns),
                                   [&](const WordPattern& p) { return pattern == p.pattern; });
  return found == std::end(kWordPatterns) ? nullptr : found;
}

std::shared_ptr<const WordScanner> chain_scanners(
    std::vector<std::shared_ptr<const WordScanner>> scanners) {
  if (scanners.size() == 1) return std::move(scanners.front());
  return std::make_shared<ScannerChain>(std::move(scanners));
}

}  // namespace gradus
