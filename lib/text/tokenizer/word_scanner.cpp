// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/word_scanner.h"

#include "text/unicode_classes.h"

namespace gradus {
namespace {

// What the patterns have in common. Functions named skip_x return the end of the longest run of x
// that starts at `at`.
class Cursor {
 public:
  Cursor(std::string_view text, const uint8_t* classes) : text_(text), classes_(classes) {}

  size_t size() const { return text_.size(); }
  char byte(size_t at) const { return at < text_.size() ? text_[at] : '\0'; }
  ClassedChar at(size_t place) const { return class_at(classes_, text_, place); }
  bool is_line_end(size_t at) const { return byte(at) == '\n' || byte(at) == '\r'; }

  size_t skip_class(size_t at, uint8_t wanted) const {
    while (at < text_.size()) {
      const ClassedChar c = this->at(at);
      if (c.char_class != wanted) break;
      at += c.bytes;
    }
    return at;
  }
  size_t skip_line_ends(size_t at) const {
    while (is_line_end(at)) ++at;
    return at;
  }

  // \s+(?!\S)|\s+ for the run of space [at, end): all of it before the end of the text, else all
  // but its last character, if it has several.
  size_t space_word(size_t at, size_t end) const {
    if (end == text_.size()) return end;
    size_t last = end - 1;
    while ((text_[last] & 0xC0) == 0x80) --last;
    return last > at ? last : end;
  }

  // 's 't 're 've 'm 'll 'd in lower case; 0 when there is none.
  size_t contraction(size_t at) const {
    if (byte(at) != '\'') return 0;
    return known_contraction(at, byte(at + 1), byte(at + 2));
  }
  // The same in any case, the long s included.
  size_t any_contraction(size_t at) const {
    if (byte(at) != '\'') return 0;
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    if (text_.substr(at + 1).starts_with("\u017F")) return at + 3;
    return known_contraction(at, lower(byte(at + 1)), lower(byte(at + 2)));
  }

 private:
  static size_t known_contraction(size_t at, char first, char second) {
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return at + 2;
    const bool two =
        ((first == 'r' || first == 'v') && second == 'e') || (first == 'l' && second == 'l');
    return two ? at + 3 : 0;
  }

  std::string_view text_;
  const uint8_t* classes_;
};

size_t gpt2_word(const Cursor& text, size_t at) {
  if (const size_t end = text.contraction(at)) return end;
  const size_t start = text.byte(at) == ' ' ? at + 1 : at;
  const ClassedChar c = start < text.size() ? text.at(start) : ClassedChar{kSpaceChar, 0};
  if (c.char_class != kSpaceChar) return text.skip_class(start + c.bytes, c.char_class);
  return text.space_word(at, text.skip_class(at, kSpaceChar));
}

// Llama 3 and Qwen 2 differ in how many digits a word may have.
template <int kMaxDigits>
size_t llama3_word(const Cursor& text, size_t at) {
  if (const size_t end = text.any_contraction(at)) return end;
  const ClassedChar c = text.at(at);
  if (c.char_class == kLetterChar) return text.skip_class(at + c.bytes, kLetterChar);
  if (c.char_class == kNumberChar) {
    size_t end = at + c.bytes;
    for (int i = 1; i < kMaxDigits && end < text.size(); ++i) {
      const ClassedChar digit = text.at(end);
      if (digit.char_class != kNumberChar) break;
      end += digit.bytes;
    }
    return end;
  }
  const size_t next = at + c.bytes;
  if (!text.is_line_end(at) && next < text.size()) {
    const ClassedChar follows = text.at(next);
    if (follows.char_class == kLetterChar)
      return text.skip_class(next + follows.bytes, kLetterChar);
    if (text.byte(at) == ' ' && follows.char_class == kOtherChar)
      return text.skip_line_ends(text.skip_class(next, kOtherChar));
  }
  if (c.char_class == kOtherChar) return text.skip_line_ends(text.skip_class(at, kOtherChar));
  const size_t end = text.skip_class(at, kSpaceChar);
  size_t last_line_end = end;  // \s*[\r\n]+ takes space up to the last line end of the run
  while (last_line_end > at && !text.is_line_end(last_line_end - 1)) --last_line_end;
  return last_line_end > at ? last_line_end : text.space_word(at, end);
}

template <size_t (*next_word)(const Cursor&, size_t)>
class Scanner : public WordScanner {
 public:
  void scan(std::string_view text, std::vector<uint32_t>& ends) const override {
    const Cursor cursor(text, classes_);
    for (size_t at = 0; at < text.size();) {
      at = next_word(cursor, at);
      ends.push_back(static_cast<uint32_t>(at));
    }
  }

 private:
  const uint8_t* classes_ = char_classes();
};

}  // namespace

std::shared_ptr<const WordScanner> find_word_scanner(const std::string& pattern) {
  if (pattern == kGpt2Pattern) return std::make_shared<Scanner<gpt2_word>>();
  if (pattern == kLlama3Pattern) return std::make_shared<Scanner<llama3_word<3>>>();
  if (pattern == kQwen2Pattern) return std::make_shared<Scanner<llama3_word<1>>>();
  return nullptr;
}

}  // namespace gradus
