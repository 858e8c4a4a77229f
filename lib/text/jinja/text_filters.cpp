// SPDX-License-Identifier: Apache-2.0
// Filters on text.
#include <algorithm>

#include "base/error.h"
#include "text/jinja/format.h"
#include "text/jinja/library.h"
#include "text/jinja/operations.h"
#include "text/jinja/print.h"
#include "text/jinja/python_str.h"
#include "text/jinja/text_functions.h"

namespace gradus::jinja {
namespace {

bool absent(const Value& value) { return value.missing() || value.is(Kind::kNone); }

Int int_or(const Value& value, Int fallback, const char* what) {
  return value.missing() ? fallback : require_int(value, what);
}

template <std::string (*convert)(std::string_view)>
Value filter_case(const Value& input, Arguments& arguments) {
  bind_arguments("this filter", arguments, {}, 0);
  const Text text = to_text(input);
  Text out = marked_like(convert(text.bytes), text);
  out.markup = text.markup;
  return Value::string(std::move(out));
}

// Jinja's title: words also begin after brackets and hyphens, but not after other punctuation.
std::string title_words(std::string_view text) {
  std::string out, word;
  const auto flush = [&] {
    const size_t first = word.empty() ? 0 : code_point_offsets(word)[1];
    out += to_upper(word.substr(0, first)) + to_lower(word.substr(first));
    word.clear();
  };
  spend_bytes(text.size());
  for (size_t i = 0; i < text.size();) {
    const size_t start = i;
    const char32_t c = next_code_point(text, i);
    const bool separates =
        is_space(c) || std::u32string_view(U"-({[<").find(c) != std::u32string_view::npos;
    if (separates) {
      flush();
      out += text.substr(start, i - start);
    } else {
      word += text.substr(start, i - start);
    }
  }
  flush();
  return out;
}

Value filter_trim(const Value& input, Arguments& arguments) {
  const auto bound = bind_arguments("trim", arguments, {"chars"}, 0);
  const std::string* chars = absent(bound[0]) ? nullptr : &require_string(bound[0], "chars").bytes;
  return Value::string(strip(to_text(input), chars, Side::kBoth));
}

Value filter_replace(const Value& input, Arguments& arguments) {
  const auto bound = bind_arguments("replace", arguments, {"old", "new", "count"}, 2);
  const Int count = absent(bound[2]) ? -1 : require_int(bound[2], "count");
  return Value::string(replace(to_text(input), to_text(bound[0]).bytes, to_text(bound[1]), count));
}

Value filter_indent(const Value& input, Arguments& arguments) {
  const auto bound = bind_arguments("indent", arguments, {"width", "first", "blank"}, 0);
  const Text& text = require_string(input, "the input of indent");
  const Text indention = bound[0].is(Kind::kString)
                             ? bound[0].text()
                             : pad("", int_or(bound[0], 4, "width"), " ", Side::kRight);
  Text padded = text;
  padded.append("\n");
  const std::vector<Text> lines = split_lines(padded, LineEnds::kDropped);
  Text out;
  if (truthy(bound[1])) out.append(indention);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out.append("\n");
    if (i > 0 && (truthy(bound[2]) || !lines[i].bytes.empty())) out.append(indention);
    out.append(lines[i]);
  }
  return Value::string(std::move(out));
}

Value filter_center(const Value& input, Arguments& arguments) {
  const auto bound = bind_arguments("center", arguments, {"width"}, 0);
  return Value::string(pad(to_text(input), int_or(bound[0], 80, "width"), " ", Side::kBoth));
}

Value filter_truncate(const Value& input, Arguments& arguments) {
  const auto bound =
      bind_arguments("truncate", arguments, {"length", "killwords", "end", "leeway"}, 0);
  const Int length = int_or(bound[0], 255, "length");
  const Text end = bound[2].missing() ? Text("...") : require_string(bound[2], "end");
  const Int leeway = absent(bound[3]) ? 5 : require_int(bound[3], "leeway");
  const auto end_length = static_cast<Int>(count_code_points(end.bytes));
  if (length < end_length) throw Failure(cat("expected length >= ", int_repr(end_length)));
  if (leeway < 0) throw Failure("expected leeway >= 0");
  if (require_length(input) <= length + leeway) return input;
  const Text& text = require_string(input, "the input of truncate");
  const std::vector<size_t> offsets = code_point_offsets(text.bytes);
  Text out = text.slice(0, offsets[static_cast<size_t>(length - end_length)]);
  if (!truthy(bound[1])) out = split(out, " ", 1, Side::kRight)[0];
  out.append(end);
  return Value::string(std::move(out));
}

std::string unescape_html(std::string text) {
  static constexpr std::pair<const char*, const char*> kEntities[] = {
      {"&lt;", "<"},  {"&gt;", ">"},        {"&quot;", "\""}, {"&#34;", "\""},
      {"&#39;", "'"}, {"&nbsp;", "\u00a0"}, {"&amp;", "&"}};
  for (const auto& [entity, plain] : kEntities) {
    text = replace(Text(text), entity, Text(plain), -1).bytes;
  }
  return text;
}

Value filter_striptags(const Value& input, Arguments& arguments) {
  bind_arguments("striptags", arguments, {}, 0);
  const Text text = to_text(input);
  std::string kept;
  size_t at = 0;
  while (true) {
    const size_t start = text.bytes.find('<', at);
    const bool comment = start != std::string::npos && text.bytes.compare(start, 4, "<!--") == 0;
    const size_t end = start == std::string::npos ? start
                       : comment                  ? text.bytes.find("-->", start + 4)
                                                  : text.bytes.find('>', start);
    if (end == std::string::npos) break;
    kept += text.bytes.substr(at, start - at);
    at = end + (comment ? 3 : 1);
  }
  kept += text.bytes.substr(at);
  std::string out;
  for (const Text& word : split_whitespace(Text(kept), -1, Side::kLeft)) {
    out += (out.empty() ? "" : " ") + word.bytes;
  }
  return Value::string(marked_like(unescape_html(std::move(out)), text));
}

std::string quote_url(const std::string& text, std::string_view safe) {
  static constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = byte < 0x80 && (std::isalnum(byte) != 0 || c == '_' || c == '.' ||
                                       c == '-' || c == '~' || safe.find(c) != std::string::npos);
    if (plain) {
      out += c;
    } else {
      out += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out;
}

std::string quote_query(const Value& value) {
  std::string quoted = quote_url(to_text(value).bytes, "");
  return replace(Text(quoted), "%20", "+", -1).bytes;
}

Value filter_urlencode(const Value& input, Arguments& arguments) {
  bind_arguments("urlencode", arguments, {}, 0);
  if (input.is(Kind::kString) || !iterable(input)) {
    const Text text = to_text(input);
    return Value::string(marked_like(quote_url(text.bytes, "/"), text));
  }
  std::vector<Value> pairs;
  if (input.is(Kind::kDict)) {
    for (const auto& [key, value] : input.dict_object().entries()) {
      pairs.push_back(Value::tuple({key, value}));
    }
  } else {
    pairs = to_items(input);
  }
  Text out;
  for (const Value& pair : pairs) {
    const std::vector<Value> both = to_items(pair);
    if (both.size() != 2) throw Failure("urlencode needs pairs of a key and a value");
    if (!out.bytes.empty()) out.append("&");
    out.append(quote_query(both[0]) + "=" + quote_query(both[1]));
  }
  return Value::string(std::move(out));
}

Value filter_wordcount(const Value& input, Arguments& arguments) {
  bind_arguments("wordcount", arguments, {}, 0);
  const Text text = to_text(input);
  spend_bytes(text.bytes.size());
  Int count = 0;
  bool in_word = false;
  for (size_t i = 0; i < text.bytes.size();) {
    const char32_t c = next_code_point(text.bytes, i);
    const bool word = is_identifier_part(c) || is_numeric(c);
    count += word && !in_word ? 1 : 0;
    in_word = word;
  }
  return Value::integer(count);
}

Value filter_safe(const Value& input, Arguments& arguments) {
  bind_arguments("safe", arguments, {}, 0);
  Text text = to_text(input);
  text.markup = true;
  return Value::string(std::move(text));
}

Value filter_escape(const Value& input, Arguments& arguments) {
  bind_arguments("escape", arguments, {}, 0);
  return Value::string(escape_html(to_text(input)));
}

Value filter_forceescape(const Value& input, Arguments& arguments) {
  bind_arguments("forceescape", arguments, {}, 0);
  Text text = to_text(input);
  text.markup = false;
  return Value::string(escape_html(text));
}

Value filter_string(const Value& input, Arguments& arguments) {
  bind_arguments("string", arguments, {}, 0);
  return input.is(Kind::kString) ? input : Value::string(to_text(input));
}

Value filter_format(const Value& input, Arguments& arguments) {
  if (arguments.named.empty())
    return percent_format(to_text(input), Value::tuple(arguments.positional));
  if (!arguments.positional.empty()) {
    throw Failure("can't handle positional and keyword arguments at the same time");
  }
  auto dict = std::make_shared<DictObject>();
  for (const auto& [name, value] : arguments.named) dict->set(Value::string(name), value);
  return percent_format(to_text(input), Value::dict(std::move(dict)));
}

constexpr FilterEntry kFilters[] = {
    {"capitalize", filter_case<capitalize>},
    {"center", filter_center},
    {"e", filter_escape},
    {"escape", filter_escape},
    {"forceescape", filter_forceescape},
    {"format", filter_format},
    {"indent", filter_indent},
    {"lower", filter_case<to_lower>},
    {"replace", filter_replace},
    {"safe", filter_safe},
    {"string", filter_string},
    {"striptags", filter_striptags},
    {"title", filter_case<title_words>},
    {"trim", filter_trim},
    {"truncate", filter_truncate},
    {"upper", filter_case<to_upper>},
    {"urlencode", filter_urlencode},
    {"wordcount", filter_wordcount},
};

}  // namespace

Filter find_text_filter(std::string_view name) {
  return find_filter_in(std::begin(kFilters), std::end(kFilters), name);
}

}  // namespace gradus::jinja
