// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/text_functions.h"

#include <algorithm>

#include "text/jinja/python_str.h"

namespace gradus::jinja {
namespace {

constexpr size_t kNone = std::string::npos;

size_t previous_offset(const std::string& text, size_t end) {
  do {
    --end;
  } while (end > 0 && (text[end] & 0xC0) == 0x80);
  return end;
}

// The next code points from `begin` on that are (not) whitespace end at the returned offset.
size_t skip(const std::string& text, size_t begin, bool space) {
  while (begin < text.size()) {
    size_t next = begin;
    if (is_space(next_code_point(text, next)) != space) break;
    begin = next;
  }
  return begin;
}

size_t skip_back(const std::string& text, size_t end, bool space) {
  while (end > 0) {
    const size_t start = previous_offset(text, end);
    size_t next = start;
    if (is_space(next_code_point(text, next)) != space) break;
    end = start;
  }
  return end;
}

std::vector<Text> split_right(const Text& text, const std::string& separator, Int limit) {
  std::vector<Text> parts;
  size_t end = text.bytes.size();
  while (limit-- != 0 && end >= separator.size()) {
    const size_t at = text.bytes.rfind(separator, end - separator.size());
    if (at == kNone) break;
    parts.push_back(text.slice(at + separator.size(), end));
    end = at;
  }
  parts.push_back(text.slice(0, end));
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<Text> split_words_right(const Text& text, Int limit) {
  const std::string& bytes = text.bytes;
  std::vector<Text> parts;
  size_t end = skip_back(bytes, bytes.size(), true);
  while (end > 0) {
    const size_t begin = limit-- == 0 ? 0 : skip_back(bytes, end, false);
    parts.push_back(text.slice(begin, end));
    end = skip_back(bytes, begin, true);
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

// The length of the line break at `i`, 0 when there is none.
size_t line_break(const std::string& text, size_t i) {
  if (text[i] == '\r') return i + 1 < text.size() && text[i + 1] == '\n' ? 2 : 1;
  size_t next = i;
  const char32_t c = next_code_point(text, next);
  const bool breaks = (c >= 0x0A && c <= 0x0C) || (c >= 0x1C && c <= 0x1E) || c == 0x85 ||
                      c == 0x2028 || c == 0x2029;
  return breaks ? next - i : 0;
}

Text replace_between(const Text& text, const Text& to, Int limit) {
  Text out;
  out.markup = text.markup;
  const std::vector<size_t> offsets = code_point_offsets(text.bytes);
  for (size_t i = 0; i < offsets.size(); ++i) {
    if (limit-- != 0) {
      out.append(to);
    } else {
      limit = 0;
    }
    if (i + 1 < offsets.size()) out.append(text, offsets[i], offsets[i + 1]);
  }
  return out;
}

}  // namespace

Text strip(const Text& text, const std::string* chars, Side side) {
  const std::string& bytes = text.bytes;
  spend_bytes(bytes.size());
  const std::u32string set = chars != nullptr ? to_code_points(*chars) : std::u32string();
  const auto stripped = [&](size_t offset) {
    const char32_t c = next_code_point(bytes, offset);
    return chars != nullptr ? set.find(c) != std::u32string::npos : is_space(c);
  };
  size_t begin = 0, end = bytes.size();
  while (side != Side::kRight && begin < end && stripped(begin)) next_code_point(bytes, begin);
  while (side != Side::kLeft && end > begin && stripped(previous_offset(bytes, end))) {
    end = previous_offset(bytes, end);
  }
  return text.slice(begin, end);
}

std::vector<Text> split(const Text& text, const std::string& separator, Int limit, Side side) {
  if (separator.empty()) throw Failure("empty separator");
  spend_bytes(text.bytes.size());
  if (side == Side::kRight) return split_right(text, separator, limit);
  std::vector<Text> parts;
  size_t begin = 0;
  while (limit-- != 0) {
    const size_t at = text.bytes.find(separator, begin);
    if (at == kNone) break;
    parts.push_back(text.slice(begin, at));
    begin = at + separator.size();
  }
  parts.push_back(text.slice(begin, text.bytes.size()));
  return parts;
}

std::vector<Text> split_whitespace(const Text& text, Int limit, Side side) {
  const std::string& bytes = text.bytes;
  spend_bytes(bytes.size());
  if (side == Side::kRight) return split_words_right(text, limit);
  std::vector<Text> parts;
  size_t begin = skip(bytes, 0, true);
  while (begin < bytes.size()) {
    const size_t end = limit-- == 0 ? bytes.size() : skip(bytes, begin, false);
    parts.push_back(text.slice(begin, end));
    begin = skip(bytes, end, true);
  }
  return parts;
}

std::vector<Text> split_lines(const Text& text, LineEnds ends) {
  spend_bytes(text.bytes.size());
  std::vector<Text> lines;
  size_t begin = 0;
  for (size_t i = 0; i < text.bytes.size();) {
    const size_t length = line_break(text.bytes, i);
    if (length == 0) {
      next_code_point(text.bytes, i);
      continue;
    }
    lines.push_back(text.slice(begin, ends == LineEnds::kKept ? i + length : i));
    begin = i += length;
  }
  if (begin < text.bytes.size()) lines.push_back(text.slice(begin, text.bytes.size()));
  return lines;
}

Text replace(const Text& text, const std::string& from, const Text& to, Int limit) {
  if (from.empty()) return replace_between(text, to, limit);
  spend_bytes(text.bytes.size());
  Text out;
  out.markup = text.markup;
  size_t begin = 0;
  while (limit-- != 0) {
    const size_t at = text.bytes.find(from, begin);
    if (at == kNone) break;
    out.append(text, begin, at);
    out.append(to);
    begin = at + from.size();
  }
  out.append(text, begin, text.bytes.size());
  return out;
}

Text repeat_text(const Text& text, Int times) {
  Text out;
  for (Int i = 0; i < times; ++i) out.append(text);
  return out;
}

Text pad(const Text& text, Int width, const Text& fill, Side side) {
  if (count_code_points(fill.bytes) != 1) {
    throw Failure("The fill character must be exactly one character long");
  }
  if (width > Int{kMaxTextBytes}) throw Failure("the width is too large");
  const Int missing = width - static_cast<Int>(count_code_points(text.bytes));
  if (missing <= 0) return text;
  const Int centred = missing / 2 + (missing & width & 1);
  const Int left = side == Side::kLeft ? missing : side == Side::kRight ? 0 : centred;
  Text out = repeat_text(fill, left);
  out.append(text);
  out.append(repeat_text(fill, missing - left));
  return out;
}

Value list_of(std::vector<Text> texts) {
  std::vector<Value> items;
  items.reserve(texts.size());
  for (Text& text : texts) items.push_back(Value::string(std::move(text)));
  return Value::list(std::move(items));
}

}  // namespace gradus::jinja
