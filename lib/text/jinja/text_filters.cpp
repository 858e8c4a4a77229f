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
#include "text/jinja/word_wrap.h"

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

Value filter_wordcount(const Value& input, Arguments& arguments) {
  bind_arguments("wordcount", arguments, {}, 0);
  const Text text = to_text(input);
  spend_bytes(text.bytes.size());
  Int count = 0;
  bool in_word = false;
  for (size_t i = 0; i < text.bytes.size();) {
    const char32_t c = next_code_point(text.bytes, i);
    const bool word = is_word_character(c);
    count += word && !in_word ? 1 : 0;
    in_word = word;
  }
  return Value::integer(count);
}

Value filter_wordwrap(const Value& input, Arguments& arguments) {
  const auto bound = bind_arguments(
      "wordwrap", arguments, {"width", "break_long_words", "wrapstring", "break_on_hyphens"}, 0);
  const Text& text = require_string(input, "the input of wordwrap");
  const Text between = absent(bound[2]) ? Text("\n") : require_string(bound[2], "wrapstring");
  const WordWrap style{
      .width = bound[0].missing() ? Value::integer(79) : bound[0],
      .break_long_words = bound[1].missing() || truthy(bound[1]),
      .split_at_hyphens = bound[3].missing() || identical(bound[3], Value::boolean(true)),
      .break_at_hyphens = bound[3].missing() || truthy(bound[3])};
  Text out;
  out.markup = between.markup;
  bool first = true;
  for (const Text& paragraph : split_lines(text, LineEnds::kDropped)) {
    std::vector<Text> lines = wrap_words(paragraph, style);
    if (lines.empty()) lines.emplace_back();
    for (Text& line : lines) {
      if (!first) out.append(between);
      first = false;
      line.markup = false;
      out.append(between.markup ? escape_html(line) : line);
    }
  }
  return Value::string(std::move(out));
}

Value filter_pprint(const Value& input, Arguments& arguments) {
  bind_arguments("pprint", arguments, {}, 0);
  return Value::string(pretty_print(input));
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
    {"format", filter_format},
    {"indent", filter_indent},
    {"lower", filter_case<to_lower>},
    {"pprint", filter_pprint},
    {"replace", filter_replace},
    {"string", filter_string},
    {"title", filter_case<title_words>},
    {"trim", filter_trim},
    {"truncate", filter_truncate},
    {"upper", filter_case<to_upper>},
    {"wordcount", filter_wordcount},
    {"wordwrap", filter_wordwrap},
};

}  // namespace

Filter find_text_filter(std::string_view name) {
  return find_filter_in(std::begin(kFilters), std::end(kFilters), name);
}

}  // namespace gradus::jinja
