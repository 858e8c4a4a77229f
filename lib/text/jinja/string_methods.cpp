// SPDX-License-Identifier: Apache-2.0
// The methods of Python's str that make sense in a template.
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

using Method = Value (*)(const Text& self, Arguments& arguments);

struct MethodEntry {
  std::string_view name;
  Method method;
};

bool absent(const Value& value) { return value.missing() || value.is(Kind::kNone); }

Int limit_of(const Value& value) { return value.missing() ? -1 : require_int(value, "maxsplit"); }

template <Side side>
Value method_strip(const Text& self, Arguments& arguments) {
  const auto bound = bind_arguments("strip", arguments, {"chars"}, 0);
  const std::string* chars = absent(bound[0]) ? nullptr : &require_string(bound[0], "chars").bytes;
  return Value::string(strip(self, chars, side));
}

template <Side side>
Value method_split(const Text& self, Arguments& arguments) {
  const auto bound = bind_arguments("split", arguments, {"sep", "maxsplit"}, 0);
  const Int limit = limit_of(bound[1]);
  if (absent(bound[0])) return list_of(split_whitespace(self, limit, side));
  return list_of(split(self, require_string(bound[0], "sep").bytes, limit, side));
}

Value method_splitlines(const Text& self, Arguments& arguments) {
  const auto bound = bind_arguments("splitlines", arguments, {"keepends"}, 0);
  return list_of(split_lines(self, truthy(bound[0]) ? LineEnds::kKept : LineEnds::kDropped));
}

Value method_replace(const Text& self, Arguments& arguments) {
  const auto bound = bind_arguments("replace", arguments, {"old", "new", "count"}, 2);
  const Int count = bound[2].missing() ? -1 : require_int(bound[2], "count");
  return Value::string(
      replace(self, require_string(bound[0], "old").bytes, require_string(bound[1], "new"), count));
}

Value method_join(const Text& self, Arguments& arguments) {
  const std::vector<Value> items = to_items(bind_arguments("join", arguments, {"iterable"}, 1)[0]);
  Text out;
  for (size_t i = 0; i < items.size(); ++i) {
    if (!items[i].is(Kind::kString)) {
      throw Failure(
          cat("sequence item ", i, ": expected str instance, ", items[i].type_name(), " found"));
    }
    if (i > 0) out.append(self);
    out.append(items[i].text());
  }
  return Value::string(std::move(out));
}

// The part of `self` that the optional start and end select, as byte offsets.
struct Window {
  size_t begin, end;
  bool valid;
};

Window window(const Text& self, const Value& start, const Value& end) {
  if (absent(start) && absent(end)) return {0, self.bytes.size(), true};
  const std::vector<size_t> offsets = code_point_offsets(self.bytes);
  const auto size = static_cast<Int>(offsets.size() - 1);
  const auto [from, to] = clamp_range(start, end, size);
  const bool beyond = !absent(start) && require_int(start, "start") > size;
  return {offsets[static_cast<size_t>(from)], offsets[static_cast<size_t>(to)],
          from <= to && !beyond};
}

enum class Found : uint8_t { kMinusOne, kError };

template <Side side, Found found>
Value method_find(const Text& self, Arguments& arguments) {
  const auto bound = bind_arguments("find", arguments, {"sub", "start", "end"}, 1);
  const std::string& wanted = require_string(bound[0], "sub").bytes;
  const Window part = window(self, bound[1], bound[2]);
  spend_bytes(self.bytes.size());
  size_t at = std::string::npos;
  if (part.valid) {
    const std::string_view text =
        std::string_view(self.bytes).substr(part.begin, part.end - part.begin);
    at = side == Side::kRight ? text.rfind(wanted) : text.find(wanted);
  }
  if (at != std::string::npos) {
    const auto before = std::string_view(self.bytes).substr(0, part.begin + at);
    return Value::integer(static_cast<Int>(count_code_points(before)));
  }
  if (found == Found::kError) throw Failure("substring not found");
  return Value::integer(-1);
}

Value method_count(const Text& self, Arguments& arguments) {
  const auto bound = bind_arguments("count", arguments, {"sub", "start", "end"}, 1);
  const std::string& wanted = require_string(bound[0], "sub").bytes;
  const Window part = window(self, bound[1], bound[2]);
  if (!part.valid) return Value::integer(0);
  spend_bytes(self.bytes.size());
  const std::string_view text =
      std::string_view(self.bytes).substr(part.begin, part.end - part.begin);
  if (wanted.empty()) return Value::integer(static_cast<Int>(count_code_points(text)) + 1);
  Int count = 0;
  for (size_t at = text.find(wanted); at != std::string_view::npos;
       at = text.find(wanted, at + wanted.size())) {
    ++count;
  }
  return Value::integer(count);
}

template <Side side>
Value method_affix(const Text& self, Arguments& arguments) {
  const char* name = side == Side::kLeft ? "startswith" : "endswith";
  const auto bound = bind_arguments(name, arguments, {"prefix", "start", "end"}, 1);
  const Window part = window(self, bound[1], bound[2]);
  const std::string_view text =
      std::string_view(self.bytes).substr(part.begin, part.valid ? part.end - part.begin : 0);
  const auto matches = [&](const Value& affix) {
    const std::string& wanted = require_string(affix, cat(name, " argument")).bytes;
    spend_bytes(wanted.size());
    return part.valid && (side == Side::kLeft ? text.starts_with(wanted) : text.ends_with(wanted));
  };
  if (!bound[0].is(Kind::kTuple)) return Value::boolean(matches(bound[0]));
  const auto& affixes = bound[0].items();
  return Value::boolean(std::any_of(affixes.begin(), affixes.end(), matches));
}

template <Side side>
Value method_remove_affix(const Text& self, Arguments& arguments) {
  const Value affix = bind_arguments("removeprefix", arguments, {"affix"}, 1)[0];
  const std::string& wanted = require_string(affix, "the affix").bytes;
  const size_t size = self.bytes.size();
  if (side == Side::kLeft && self.bytes.starts_with(wanted)) {
    return Value::string(self.slice(wanted.size(), size));
  }
  if (side == Side::kRight && self.bytes.ends_with(wanted)) {
    return Value::string(self.slice(0, size - wanted.size()));
  }
  return Value::string(self);
}

template <Side side>
Value method_partition(const Text& self, Arguments& arguments) {
  const Value separator = bind_arguments("partition", arguments, {"sep"}, 1)[0];
  const Text& wanted = require_string(separator, "sep");
  std::vector<Text> parts = split(self, wanted.bytes, 1, side);
  if (parts.size() == 2) {
    parts.insert(parts.begin() + 1, wanted);
  } else {
    parts.insert(side == Side::kLeft ? parts.end() : parts.begin(), 2, Text());
  }
  for (Text& part : parts) part.markup = self.markup;
  return Value::tuple(list_of(std::move(parts)).items());
}

template <Side side>
Value method_pad(const Text& self, Arguments& arguments) {
  const auto bound = bind_arguments("center", arguments, {"width", "fillchar"}, 1);
  const Text fill = bound[1].missing() ? Text(" ") : require_string(bound[1], "fillchar");
  return Value::string(pad(self, require_int(bound[0], "width"), fill, side));
}

Value method_zfill(const Text& self, Arguments& arguments) {
  const Int width = require_int(bind_arguments("zfill", arguments, {"width"}, 1)[0], "width");
  const bool sign = !self.bytes.empty() && (self.bytes[0] == '-' || self.bytes[0] == '+');
  Text out = self.slice(0, sign ? 1 : 0);
  out.append(
      pad(self.slice(sign ? 1 : 0, self.bytes.size()), width - (sign ? 1 : 0), "0", Side::kLeft));
  return Value::string(std::move(out));
}

Value method_expandtabs(const Text& self, Arguments& arguments) {
  const Value given = bind_arguments("expandtabs", arguments, {"tabsize"}, 0)[0];
  const Int tab =
      given.missing() ? 8 : std::clamp(require_int(given, "tabsize"), Int{0}, Int{1000});
  Text out;
  Int column = 0;
  const std::vector<size_t> offsets = code_point_offsets(self.bytes);
  for (size_t i = 0; i + 1 < offsets.size(); ++i) {
    const char c = self.bytes[offsets[i]];
    if (c == '\t') {
      const Int spaces = tab > 0 ? tab - column % tab : 0;
      out.append(std::string(static_cast<size_t>(spaces), ' '));
      column += spaces;
    } else {
      out.append(self, offsets[i], offsets[i + 1]);
      column = c == '\n' || c == '\r' ? 0 : column + 1;
    }
  }
  return Value::string(std::move(out));
}

template <std::string (*convert)(std::string_view)>
Value method_case(const Text& self, Arguments& arguments) {
  bind_arguments("this method", arguments, {}, 0);
  Text out = marked_like(convert(self.bytes), self);
  out.markup = self.markup;
  return Value::string(std::move(out));
}

template <bool (*property)(char32_t)>
Value method_all(const Text& self, Arguments& arguments) {
  bind_arguments("this method", arguments, {}, 0);
  spend_bytes(self.bytes.size());
  const std::u32string text = to_code_points(self.bytes);
  return Value::boolean(!text.empty() && std::all_of(text.begin(), text.end(), property));
}

Value method_isascii(const Text& self, Arguments&) { return Value::boolean(is_ascii(self.bytes)); }

Value method_isprintable(const Text& self, Arguments& arguments) {
  return self.bytes.empty() ? Value::boolean(true) : method_all<is_printable>(self, arguments);
}

Value method_isidentifier(const Text& self, Arguments&) {
  const std::u32string text = to_code_points(self.bytes);
  return Value::boolean(!text.empty() && is_identifier_start(text[0]) &&
                        std::all_of(text.begin(), text.end(), is_identifier_part));
}

// At least one cased character, and none of the other cases.
template <bool (*wrong)(char32_t)>
Value method_is_case(const Text& self, Arguments&) {
  spend_bytes(self.bytes.size());
  const std::u32string text = to_code_points(self.bytes);
  return Value::boolean(
      std::any_of(text.begin(), text.end(), is_cased) &&
      std::none_of(text.begin(), text.end(), [](char32_t c) { return wrong(c) || is_title(c); }));
}

Value method_istitle(const Text& self, Arguments&) {
  spend_bytes(self.bytes.size());
  bool in_word = false, any = false;
  for (const char32_t c : to_code_points(self.bytes)) {
    if (is_upper(c) ? in_word : is_lower(c) && !in_word) return Value::boolean(false);
    in_word = is_cased(c);
    any = any || in_word;
  }
  return Value::boolean(any);
}

Value method_format(const Text& self, Arguments& arguments) {
  return Value::string(brace_format(self, arguments));
}

Value method_format_map(const Text& self, Arguments& arguments) {
  const Value mapping = bind_arguments("format_map", arguments, {"mapping"}, 1)[0];
  Arguments named;
  if (!mapping.is(Kind::kDict)) throw Failure("format_map() needs a mapping");
  for (const auto& [key, value] : mapping.dict_object().entries()) {
    if (key.is(Kind::kString)) named.named.emplace_back(key.bytes(), value);
  }
  return Value::string(brace_format(self, named));
}

constexpr MethodEntry kMethods[] = {
    {"capitalize", method_case<capitalize>},
    {"casefold", method_case<fold_case>},
    {"center", method_pad<Side::kBoth>},
    {"count", method_count},
    {"endswith", method_affix<Side::kRight>},
    {"expandtabs", method_expandtabs},
    {"find", method_find<Side::kLeft, Found::kMinusOne>},
    {"format", method_format},
    {"format_map", method_format_map},
    {"index", method_find<Side::kLeft, Found::kError>},
    {"isalnum", method_all<is_alphanumeric>},
    {"isalpha", method_all<is_alphabetic>},
    {"isascii", method_isascii},
    {"isdecimal", method_all<is_decimal>},
    {"isdigit", method_all<is_digit>},
    {"isidentifier", method_isidentifier},
    {"islower", method_is_case<is_upper>},
    {"isnumeric", method_all<is_numeric>},
    {"isprintable", method_isprintable},
    {"isspace", method_all<is_space>},
    {"istitle", method_istitle},
    {"isupper", method_is_case<is_lower>},
    {"join", method_join},
    {"ljust", method_pad<Side::kRight>},
    {"lower", method_case<to_lower>},
    {"lstrip", method_strip<Side::kLeft>},
    {"partition", method_partition<Side::kLeft>},
    {"removeprefix", method_remove_affix<Side::kLeft>},
    {"removesuffix", method_remove_affix<Side::kRight>},
    {"replace", method_replace},
    {"rfind", method_find<Side::kRight, Found::kMinusOne>},
    {"rindex", method_find<Side::kRight, Found::kError>},
    {"rjust", method_pad<Side::kLeft>},
    {"rpartition", method_partition<Side::kRight>},
    {"rsplit", method_split<Side::kRight>},
    {"rstrip", method_strip<Side::kRight>},
    {"split", method_split<Side::kLeft>},
    {"splitlines", method_splitlines},
    {"startswith", method_affix<Side::kLeft>},
    {"strip", method_strip<Side::kBoth>},
    {"swapcase", method_case<swap_case>},
    {"title", method_case<to_title>},
    {"upper", method_case<to_upper>},
    {"zfill", method_zfill},
};

}  // namespace

Value string_method(const Value& self, std::string_view name) {
  for (const MethodEntry& entry : kMethods) {
    if (entry.name != name) continue;
    return make_function(std::string(name), [self, method = entry.method](Arguments& arguments) {
      return method(self.text(), arguments);
    });
  }
  return {};
}

}  // namespace gradus::jinja
