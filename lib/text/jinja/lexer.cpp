// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/lexer.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/error.h"
#include "text/jinja/python_str.h"

namespace gradus::jinja {
namespace {

constexpr size_t kNone = std::string::npos;

std::string normal_newlines(const std::string& text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\r') {
      out += text[i];
    } else if (i + 1 == text.size() || text[i + 1] != '\n') {
      out += '\n';
    }
  }
  return out;
}

bool is_number_digit(char c, int base) {
  if (c >= '0' && c <= '9') return c - '0' < base;
  const char lower = static_cast<char>(c | 0x20);
  return base == 16 && lower >= 'a' && lower <= 'f';
}

class Lexer {
 public:
  explicit Lexer(const Source& source) : source_(source), text_(source.text()) {}

  std::vector<Token> run() {
    while (at_ < text_.size()) read_data();
    add(TokenKind::kEnd, text_.size());
    return std::move(tokens_);
  }

 private:
  bool looking_at(std::string_view what, size_t offset) const {
    return std::string_view(text_).substr(offset, what.size()) == what;
  }

  void add(TokenKind kind, size_t offset, std::string text = {}) {
    tokens_.push_back({.kind = kind, .offset = offset, .text = std::move(text)});
  }

  size_t skip_space(size_t offset) const {
    while (offset < text_.size()) {
      size_t next = offset;
      if (!is_space(next_code_point(text_, next))) break;
      offset = next;
    }
    return offset;
  }

  // The end of `text_[begin, end)` without its trailing whitespace.
  size_t without_space(size_t begin, size_t end) const {
    while (end > begin) {
      size_t start = end - 1;
      while (start > begin && (text_[start] & 0xC0) == 0x80) --start;
      size_t next = start;
      if (!is_space(next_code_point(text_, next))) break;
      end = start;
    }
    return end;
  }

  char sign_at(size_t offset) const {
    const char c = offset < text_.size() ? text_[offset] : '\0';
    return c == '-' || c == '+' ? c : '\0';
  }

  // Where the data before a tag ends, after lstrip_blocks and the tag's sign.
  size_t data_end(size_t begin, size_t tag, char sign, bool variable) const {
    if (sign == '-') return without_space(begin, tag);
    if (sign == '+' || variable) return tag;
    const size_t newline = tag == begin ? kNone : text_.rfind('\n', tag - 1);
    const bool has_newline = newline != kNone && newline >= begin;
    const bool line_starting = begin == 0 || text_[begin - 1] == '\n';
    if (!has_newline && !line_starting) return tag;
    const size_t line = has_newline ? newline + 1 : begin;
    return without_space(line, tag) == line ? line : tag;
  }

  void add_data(size_t begin, size_t end) {
    if (end > begin) add(TokenKind::kData, begin, text_.substr(begin, end - begin));
  }

  void read_data() {
    size_t tag = at_;
    while (true) {
      tag = text_.find('{', tag);
      if (tag == kNone || tag + 1 >= text_.size()) {
        add_data(at_, text_.size());
        at_ = text_.size();
        return;
      }
      const char next = text_[tag + 1];
      if (next == '%' || next == '{' || next == '#') break;
      ++tag;
    }
    const char sign = sign_at(tag + 2);
    add_data(at_, data_end(at_, tag, sign, text_[tag + 1] == '{'));
    read_tag(tag, tag + 2 + (sign != '\0' ? 1 : 0));
  }

  void read_tag(size_t tag, size_t inside) {
    if (text_[tag + 1] == '#') return read_comment(tag, inside);
    if (text_[tag + 1] == '%') {
      const size_t raw = raw_body(inside);
      if (raw != kNone) return read_raw(tag, raw);
      add(TokenKind::kBlockBegin, tag);
      return read_code(inside, TokenKind::kBlockEnd);
    }
    add(TokenKind::kVariableBegin, tag);
    read_code(inside, TokenKind::kVariableEnd);
  }

  // After an end tag at `offset`: "-%}" eats whitespace, "%}" one newline, "+%}" nothing. npos when
  // there is no such tag.
  size_t after_end(size_t offset, std::string_view end) const {
    const char sign = sign_at(offset);
    if (sign != '\0' && looking_at(end, offset + 1)) {
      const size_t after = offset + 1 + end.size();
      return sign == '-' ? skip_space(after) : after;
    }
    if (!looking_at(end, offset)) return kNone;
    const size_t after = offset + end.size();
    return after < text_.size() && text_[after] == '\n' ? after + 1 : after;
  }

  size_t after_variable_end(size_t offset) const {
    if (looking_at("-}}", offset)) return skip_space(offset + 3);
    return looking_at("}}", offset) ? offset + 2 : kNone;
  }

  void read_comment(size_t tag, size_t inside) {
    for (size_t i = inside; i < text_.size(); ++i) {
      const size_t after = after_end(i, "#}");
      if (after == kNone) continue;
      at_ = after;
      return;
    }
    source_.fail(tag, "Missing end of comment tag");
  }

  // The body of "{% raw %}" when the tag is one, else npos.
  size_t raw_body(size_t inside) const {
    const size_t name = skip_space(inside);
    if (!looking_at("raw", name)) return kNone;
    const size_t end = skip_space(name + 3);
    if (looking_at("-%}", end)) return skip_space(end + 3);
    return looking_at("%}", end) ? end + 2 : kNone;
  }

  void read_raw(size_t tag, size_t body) {
    for (size_t end = text_.find("{%", body); end != kNone; end = text_.find("{%", end + 1)) {
      const char sign = sign_at(end + 2);
      const size_t name = skip_space(end + 2 + (sign != '\0' ? 1 : 0));
      if (!looking_at("endraw", name)) continue;
      const size_t after = after_end(skip_space(name + 6), "%}");
      if (after == kNone) continue;
      add_data(body, data_end(body, end, sign, false));
      at_ = after;
      return;
    }
    source_.fail(tag, "Missing end of raw directive");
  }

  void read_code(size_t offset, TokenKind end) {
    std::string open;
    while (true) {
      offset = skip_space(offset);
      if (offset >= text_.size()) {
        at_ = text_.size();
        return;
      }
      if (open.empty()) {
        const bool block = end == TokenKind::kBlockEnd;
        const size_t after = block ? after_end(offset, "%}") : after_variable_end(offset);
        if (after != kNone) {
          add(end, offset);
          at_ = after;
          return;
        }
      }
      offset = read_token(offset, open);
    }
  }

  size_t read_token(size_t offset, std::string& open) {
    const char c = text_[offset];
    if (c >= '0' && c <= '9') return read_number(offset);
    if (c == '"' || c == '\'') return read_string(offset);
    size_t next = offset;
    if (is_identifier_start(next_code_point(text_, next))) return read_name(offset);
    return read_operator(offset, open);
  }

  size_t read_name(size_t offset) {
    size_t end = offset;
    while (end < text_.size()) {
      size_t next = end;
      if (!is_identifier_part(next_code_point(text_, next))) break;
      end = next;
    }
    add(TokenKind::kName, offset, text_.substr(offset, end - offset));
    return end;
  }

  size_t read_operator(size_t offset, std::string& open) {
    static constexpr std::array<std::string_view, 6> kDouble = {"//", "**", "==", "!=", ">=", "<="};
    static constexpr std::string_view kSingle = "+-/*%~[](){}><=.:|,;";
    for (const std::string_view op : kDouble) {
      if (!looking_at(op, offset)) continue;
      add(TokenKind::kOperator, offset, std::string(op));
      return offset + 2;
    }
    const char c = text_[offset];
    if (kSingle.find(c) == kNone) {
      size_t end = offset;
      next_code_point(text_, end);
      source_.fail(offset, cat("unexpected char '", text_.substr(offset, end - offset), "'"));
    }
    balance(offset, c, open);
    add(TokenKind::kOperator, offset, std::string(1, c));
    return offset + 1;
  }

  void balance(size_t offset, char c, std::string& open) const {
    if (c == '(') open += ')';
    if (c == '[') open += ']';
    if (c == '{') open += '}';
    if (c != ')' && c != ']' && c != '}') return;
    if (open.empty()) source_.fail(offset, cat("unexpected '", c, "'"));
    if (open.back() != c) {
      source_.fail(offset, cat("unexpected '", c, "', expected '", open.back(), "'"));
    }
    open.pop_back();
  }

  // Digits with single underscores between them; appends them to `digits`.
  size_t read_digits(size_t offset, int base, std::string& digits) const {
    while (offset < text_.size()) {
      const bool underscore = text_[offset] == '_' && !digits.empty();
      const size_t digit = offset + (underscore ? 1 : 0);
      if (digit >= text_.size() || !is_number_digit(text_[digit], base)) break;
      digits += text_[digit];
      offset = digit + 1;
    }
    return offset;
  }

  size_t read_number(size_t offset) {
    std::string digits;
    const size_t whole = read_digits(offset, 10, digits);
    const bool after_dot = offset > 0 && text_[offset - 1] == '.';
    const size_t end = after_dot ? whole : read_fraction(whole, digits);
    if (end != whole) return add_float(offset, end, digits);
    return read_integer(offset);
  }

  size_t read_fraction(size_t offset, std::string& digits) const {
    std::string part;
    if (offset < text_.size() && text_[offset] == '.') {
      const size_t end = read_digits(offset + 1, 10, part);
      if (!part.empty()) {
        digits += "." + part;
        offset = end;
      }
    }
    if (offset >= text_.size() || (text_[offset] | 0x20) != 'e') return offset;
    size_t start = offset + 1;
    std::string exponent = "e";
    if (const char sign = sign_at(start); sign != '\0') {
      if (sign == '-') exponent += sign;
      ++start;
    }
    part.clear();
    const size_t end = read_digits(start, 10, part);
    if (part.empty()) return offset;
    digits += exponent + part;
    return end;
  }

  size_t add_float(size_t offset, size_t end, const std::string& digits) {
    Token token{.kind = TokenKind::kFloat, .offset = offset};
    const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), token.real);
    if (result.ec != std::errc()) source_.fail(offset, "the number is out of range");
    tokens_.push_back(token);
    return end;
  }

  size_t read_integer(size_t offset) {
    const char marker = static_cast<char>(offset + 1 < text_.size() ? text_[offset + 1] | 0x20 : 0);
    const int base = text_[offset] != '0' ? 10
                     : marker == 'b'      ? 2
                     : marker == 'o'      ? 8
                     : marker == 'x'      ? 16
                                          : 0;
    std::string digits;
    size_t end = offset;
    if (base == 10) {
      end = read_digits(offset, 10, digits);
    } else if (base != 0) {
      const size_t first = offset + 2;
      const bool underscore = first < text_.size() && text_[first] == '_';
      end = read_digits(first + (underscore ? 1 : 0), base, digits);
    }
    if (digits.empty()) return read_zero(offset);
    add_integer(offset, digits, base);
    return end;
  }

  size_t read_zero(size_t offset) {
    std::string zeros;
    const size_t end = read_digits(offset, 1, zeros);
    add_integer(offset, zeros, 10);
    return end;
  }

  void add_integer(size_t offset, const std::string& digits, int base) {
    Token token{.kind = TokenKind::kInteger, .offset = offset};
    for (const char c : digits) {
      const int digit = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
      token.integer = token.integer * base + digit;
      if (token.integer > Int{1} << 96) source_.fail(offset, "the integer is too large");
    }
    tokens_.push_back(token);
  }

  size_t read_string(size_t offset) {
    const char quote = text_[offset];
    std::string out;
    for (size_t i = offset + 1; i < text_.size();) {
      if (text_[i] == quote) {
        add(TokenKind::kString, offset, std::move(out));
        return i + 1;
      }
      if (text_[i] == '\\' && i + 1 < text_.size()) {
        i = read_escape(i + 1, out);
      } else {
        out += text_[i++];
      }
    }
    source_.fail(offset, cat("unexpected char '", quote, "': the string does not end"));
  }

  // The escape sequences of Python string literals; `i` is after the backslash.
  size_t read_escape(size_t i, std::string& out) {
    static constexpr std::string_view kFrom = "\\'\"abfnrtv";
    static constexpr std::string_view kTo = "\\'\"\a\b\f\n\r\t\v";
    const char c = text_[i];
    if (const size_t known = kFrom.find(c); known != kNone) {
      out += kTo[known];
      return i + 1;
    }
    if (c == '\n') return i + 1;
    if (c == 'x') return read_hex(i, 2, out);
    if (c == 'u') return read_hex(i, 4, out);
    if (c == 'U') return read_hex(i, 8, out);
    if (c == 'N') source_.fail(i, "named characters (\\N) are not supported");
    if (c >= '0' && c <= '7') return read_octal(i, out);
    out += '\\';
    return i;
  }

  size_t read_hex(size_t i, size_t count, std::string& out) {
    char32_t value = 0;
    for (size_t k = 1; k <= count; ++k) {
      if (i + k >= text_.size() || !is_number_digit(text_[i + k], 16)) {
        source_.fail(i, cat("truncated \\", text_[i], " escape"));
      }
      const char c = text_[i + k];
      value = value * 16 + static_cast<char32_t>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) {
      source_.fail(i, "illegal Unicode character");
    }
    append_utf8(out, value);
    return i + 1 + count;
  }

  size_t read_octal(size_t i, std::string& out) {
    char32_t value = 0;
    const size_t end = std::min(i + 3, text_.size());
    for (; i < end && text_[i] >= '0' && text_[i] <= '7'; ++i) {
      value = value * 8 + static_cast<char32_t>(text_[i] - '0');
    }
    append_utf8(out, value);
    return i;
  }

  const Source& source_;
  const std::string& text_;
  size_t at_ = 0;
  std::vector<Token> tokens_;
};

}  // namespace

Source::Source(const std::string& text, std::string where) : where_(std::move(where)) {
  if (text.size() > kMaxTemplateBytes) {
    throw Error({.what = "the chat template is too long",
                 .where = where_,
                 .expected = cat("at most ", kMaxTemplateBytes, " bytes"),
                 .found = cat(text.size())});
  }
  text_ = normal_newlines(text);
  if (const auto invalid = find_invalid_utf8(text_)) fail(*invalid, "the text is not UTF-8");
  if (!text_.empty() && text_.back() == '\n') text_.pop_back();
}

std::string Source::place(size_t offset) const {
  const std::string_view before = std::string_view(text_).substr(0, offset);
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const size_t newline = before.rfind('\n');
  const size_t start = newline == kNone ? 0 : newline + 1;
  return cat(where_, ":", line, ":", count_code_points(before.substr(start)) + 1);
}

void Source::fail(size_t offset, const std::string& what) const {
  throw Error({.what = printable("template syntax: " + what, 400), .where = place(offset)});
}

std::vector<Token> tokenize(const Source& source) { return Lexer(source).run(); }

}  // namespace gradus::jinja
