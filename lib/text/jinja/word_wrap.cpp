// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/word_wrap.h"

#include <algorithm>

#include "base/error.h"
#include "text/jinja/operations.h"
#include "text/jinja/print.h"
#include "text/jinja/python_str.h"

namespace gradus::jinja {
namespace {

bool is_blank(char32_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_letter(char32_t c) { return is_word_character(c) && !is_decimal(c); }

bool before_dash(char32_t c) {
  return is_word_character(c) || std::u32string_view(U"!\"'&.,?").find(c) != std::u32string::npos;
}

// Where a line may be broken: textwrap's chunks, found without its regular expression.
class Chunks {
 public:
  Chunks(const std::u32string& text, bool at_hyphens) : text_(text), at_hyphens_(at_hyphens) {}

  // The end of the chunk that begins at `i`, which is not the end of the text.
  size_t end_of(size_t i) const {
    if (is_blank(text_[i])) return run(i, is_blank);
    if (!at_hyphens_) return run(i, [](char32_t c) { return !is_blank(c); });
    if (is_dash(i)) return run(i, [](char32_t c) { return c == '-'; });
    for (size_t end = i + 1;; ++end) {
      if (end == text_.size() || is_blank(text_[end]) || is_dash(end)) return end;
      if (is_hyphen(end)) return end + 1;
    }
  }

 private:
  template <class Belongs>
  size_t run(size_t i, Belongs belongs) const {
    while (i < text_.size() && belongs(text_[i])) ++i;
    return i;
  }

  bool letter(size_t i) const { return i < text_.size() && is_letter(text_[i]); }
  bool hyphen(size_t i) const { return i < text_.size() && text_[i] == '-'; }

  // An em-dash between words: "word--word".
  bool is_dash(size_t i) const {
    if (i == 0 || !hyphen(i) || !hyphen(i + 1) || !before_dash(text_[i - 1])) return false;
    const size_t end = run(i, [](char32_t c) { return c == '-'; });
    return end < text_.size() && is_word_character(text_[end]);
  }

  // A hyphen inside a word, with two letters (or letter, hyphen, letter) on both sides.
  bool is_hyphen(size_t i) const {
    if (!hyphen(i) || i < 2 || !letter(i - 1)) return false;
    const bool left = letter(i - 2) || (i >= 3 && hyphen(i - 2) && letter(i - 3));
    const bool right = letter(i + 1) && (letter(i + 2) || (hyphen(i + 2) && letter(i + 3)));
    return left && right;
  }

  const std::u32string& text_;
  bool at_hyphens_;
};

// A part of the paragraph, in code points.
struct Span {
  size_t begin = 0, end = 0;
  size_t size() const { return end - begin; }
};

class Wrapper {
 public:
  Wrapper(const Text& paragraph, const WordWrap& style)
      : paragraph_(paragraph),
        style_(style),
        letters_(to_code_points(paragraph.bytes)),
        offsets_(code_point_offsets(paragraph.bytes)),
        chunks_(letters_, style.split_at_hyphens) {}

  std::vector<Text> lines() {
    std::vector<Text> out;
    next_ = chunk_at(0);
    while (next_.size() > 0) {
      if (!out.empty() && blank(next_)) next_ = chunk_at(next_.end);
      const Span line = take_line();
      if (line.size() > 0)
        out.push_back(paragraph_.slice(offsets_[line.begin], offsets_[line.end]));
    }
    return out;
  }

 private:
  Span chunk_at(size_t i) const { return {i, i < letters_.size() ? chunks_.end_of(i) : i}; }

  bool blank(Span span) const {
    const auto begin = letters_.begin();
    return std::all_of(begin + static_cast<std::ptrdiff_t>(span.begin),
                       begin + static_cast<std::ptrdiff_t>(span.end), is_space);
  }

  bool fits(size_t size) const {
    return compare(Operator::kLessEqual, Value::integer(static_cast<Int>(size)), style_.width);
  }

  // Takes chunks while they fit, and a part of one that fits in no line.
  Span take_line() {
    spend(1);
    Span line{next_.begin, next_.begin}, last = line;
    while (next_.size() > 0 && fits(line.size() + next_.size())) {
      spend(1);
      last = next_;
      line.end = next_.end;
      next_ = chunk_at(next_.end);
    }
    if (next_.size() > 0 && !fits(next_.size())) {
      if (style_.break_long_words) {
        last = {line.end, line.end + piece_size(line.size())};
        line.end = next_.begin = last.end;
      } else if (line.size() == 0) {
        last = next_;
        line.end = next_.end;
        next_ = chunk_at(next_.end);
      }
    }
    if (blank(last)) line.end = last.begin;
    return line;
  }

  // How much of the next chunk is cut off to fill a line that has `taken` characters.
  size_t piece_size(size_t taken) const {
    if (!style_.width.is_integral()) throw Failure("slice indices must be integers");
    const size_t left = static_cast<size_t>(style_.width.as_int()) - taken;
    if (!style_.break_at_hyphens) return left;
    for (size_t hyphen = left; hyphen-- > 1;) {
      if (letters_[next_.begin + hyphen] != '-') continue;
      const auto begin = letters_.begin() + static_cast<std::ptrdiff_t>(next_.begin);
      const bool word = std::any_of(begin, begin + static_cast<std::ptrdiff_t>(hyphen),
                                    [](char32_t c) { return c != '-'; });
      return word ? hyphen + 1 : left;
    }
    return left;
  }

  const Text& paragraph_;
  const WordWrap& style_;
  std::u32string letters_;
  std::vector<size_t> offsets_;
  Chunks chunks_;
  Span next_;
};

}  // namespace

std::vector<Text> wrap_words(const Text& paragraph, const WordWrap& style) {
  if (!compare(Operator::kGreater, style.width, Value::integer(0))) {
    throw Failure(cat("invalid width ", repr(style.width).bytes, " (must be > 0)"));
  }
  spend_bytes(paragraph.bytes.size() * 8);
  return Wrapper(paragraph, style).lines();
}

}  // namespace gradus::jinja
