// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/traced_text.h"

#include <algorithm>

#include "text/jinja/budget.h"

namespace gradus::jinja {
namespace {

void add_trace(std::vector<Trace>& traces, Trace trace) {
  if (trace.begin == trace.end) return;
  for (auto last = traces.rbegin(); last != traces.rend() && last->end >= trace.begin; ++last) {
    if (last->source != trace.source) continue;
    last->end = std::max(last->end, trace.end);
    return;
  }
  spend(1);
  traces.push_back(trace);
}

}  // namespace

void Text::append(std::string_view text) {
  check_text_size(bytes.size() + text.size());
  spend_bytes(text.size());
  bytes.append(text);
}

void Text::append(const Text& text, size_t begin, size_t end) {
  const size_t base = bytes.size();
  append(std::string_view(text.bytes).substr(begin, end - begin));
  spend(text.traces.size() / 16);
  for (const Trace& trace : text.traces) {
    const size_t first = std::max(trace.begin, begin);
    const size_t last = std::min(trace.end, end);
    if (first < last) add_trace(traces, {base + first - begin, base + last - begin, trace.source});
  }
}

void Text::append_marked(std::string_view text, const Text& origin) {
  const size_t base = bytes.size();
  append(text);
  for (const Trace& trace : origin.traces) add_trace(traces, {base, bytes.size(), trace.source});
}

void Text::mark(size_t begin, int64_t source) {
  if (begin == bytes.size()) return;
  const Trace trace{begin, bytes.size(), source};
  const auto by_begin = [](const Trace& a, const Trace& b) { return a.begin < b.begin; };
  traces.insert(std::lower_bound(traces.begin(), traces.end(), trace, by_begin), trace);
}

Text Text::slice(size_t begin, size_t end) const {
  Text out;
  out.markup = markup;
  out.append(*this, begin, end);
  return out;
}

Text marked_like(std::string bytes, const Text& origin) {
  Text out;
  out.append_marked(bytes, origin);
  return out;
}

Text escape_html(const Text& text) {
  Text out;
  out.markup = true;
  if (text.markup) return text;
  size_t done = 0;
  for (size_t i = 0; i < text.bytes.size(); ++i) {
    const char c = text.bytes[i];
    const char* escaped = c == '&'    ? "&amp;"
                          : c == '<'  ? "&lt;"
                          : c == '>'  ? "&gt;"
                          : c == '"'  ? "&#34;"
                          : c == '\'' ? "&#39;"
                                      : nullptr;
    if (escaped == nullptr) continue;
    out.append(text, done, i);
    out.append_marked(escaped, text.slice(i, i + 1));
    done = i + 1;
  }
  out.append(text, done, text.bytes.size());
  return out;
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c & 0x80) == 0; });
}

std::vector<size_t> code_point_offsets(std::string_view text) {
  std::vector<size_t> offsets;
  for (size_t i = 0; i < text.size(); ++i) {
    if ((text[i] & 0xC0) != 0x80) offsets.push_back(i);
  }
  offsets.push_back(text.size());
  return offsets;
}

std::u32string to_code_points(std::string_view text) {
  std::u32string out;
  for (size_t i = 0; i < text.size();) out += next_code_point(text, i);
  return out;
}

std::string to_utf8(const std::u32string& code_points) {
  std::string out;
  for (const char32_t c : code_points) append_utf8(out, c);
  return out;
}

}  // namespace gradus::jinja
