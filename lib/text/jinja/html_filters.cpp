// SPDX-License-Identifier: Apache-2.0
// Filters that write or undo HTML and URLs.
#include <algorithm>

#include "base/error.h"
#include "text/jinja/library.h"
#include "text/jinja/links.h"
#include "text/jinja/operations.h"
#include "text/jinja/print.h"
#include "text/jinja/python_str.h"
#include "text/jinja/text_functions.h"

namespace gradus::jinja {
namespace {

bool absent(const Value& value) { return value.missing() || value.is(Kind::kNone); }

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

// The characters that would end the name of an attribute.
bool ends_name(char c) {
  return std::string_view("\t\n\v\f\r />=").find(c) != std::string_view::npos;
}

Value filter_xmlattr(const Value& input, Arguments& arguments) {
  const auto bound = bind_arguments("xmlattr", arguments, {"autospace"}, 0);
  const bool space = bound[0].missing() || truthy(bound[0]);
  require_defined(input);
  if (!input.is(Kind::kDict)) {
    throw Failure(cat("xmlattr needs a mapping, not ", input.type_name()));
  }
  Text out;
  for (const auto& [key, value] : input.dict_object().entries()) {
    if (value.is(Kind::kNone) || value.undefined()) continue;
    const Text& name = require_string(key, "the name of an attribute");
    spend_bytes(name.bytes.size());
    if (std::any_of(name.bytes.begin(), name.bytes.end(), ends_name)) {
      throw Failure(cat("Invalid character in attribute name: ", printable(repr(key).bytes)));
    }
    if (space || !out.bytes.empty()) out.append(" ");
    out.append(escape_html(name));
    out.append("=\"");
    out.append(escape_html(to_text(value)));
    out.append("\"");
  }
  return Value::string(std::move(out));
}

// The words of rel, nofollow and noopener, sorted, each once.
Text rel_of(const Value& given, const Value& nofollow) {
  std::vector<std::string> words = {"noopener"};
  if (truthy(nofollow)) words.emplace_back("nofollow");
  if (truthy(given)) {
    for (Text& word : split_whitespace(require_string(given, "rel"), -1, Side::kLeft)) {
      words.push_back(std::move(word.bytes));
    }
  }
  std::sort(words.begin(), words.end());
  words.erase(std::unique(words.begin(), words.end()), words.end());
  Text out;
  for (const std::string& word : words) out.append((out.bytes.empty() ? "" : " ") + word);
  return out;
}

// [\w.+-]{2,}: and up to two slashes
bool is_scheme(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || text.size() - colon > 3) return false;
  if (text.find_first_not_of('/', colon + 1) != std::string_view::npos) return false;
  const std::u32string name = to_code_points(text.substr(0, colon));
  return name.size() >= 2 && std::all_of(name.begin(), name.end(), [](char32_t c) {
           return is_word_character(c) || c == '.' || c == '+' || c == '-';
         });
}

std::vector<std::string> schemes_of(const Value& given) {
  std::vector<std::string> schemes;
  if (absent(given)) return schemes;
  for (const Value& item : to_items(given)) {
    const std::string& scheme = require_string(item, "a scheme of extra_schemes").bytes;
    if (!is_scheme(scheme)) {
      throw Failure(cat(printable(repr(item).bytes), " is not a valid URI scheme prefix."));
    }
    schemes.push_back(scheme);
  }
  // jinja2 walks them twice: nothing is left of an iterator the second time.
  if (given.is(Kind::kIterator)) schemes.clear();
  return schemes;
}

Value filter_urlize(const Value& input, Arguments& arguments) {
  const auto bound = bind_arguments(
      "urlize", arguments, {"trim_url_limit", "nofollow", "target", "rel", "extra_schemes"}, 0);
  LinkStyle style{.shown = bound[0].is(Kind::kNone) ? Value() : bound[0],
                  .attributes = {},
                  .schemes = schemes_of(bound[4])};
  style.attributes.append(" rel=\"");
  style.attributes.append(escape_html(rel_of(bound[3], bound[1])));
  style.attributes.append("\"");
  if (truthy(bound[2])) {
    style.attributes.append(" target=\"");
    style.attributes.append(escape_html(to_text(bound[2])));
    style.attributes.append("\"");
  }
  return Value::string(with_links(escape_html(to_text(input)), style));
}

constexpr FilterEntry kFilters[] = {
    {"e", filter_escape},      {"escape", filter_escape},       {"forceescape", filter_forceescape},
    {"safe", filter_safe},     {"striptags", filter_striptags}, {"urlencode", filter_urlencode},
    {"urlize", filter_urlize}, {"xmlattr", filter_xmlattr},
};

}  // namespace

Filter find_html_filter(std::string_view name) {
  return find_filter_in(std::begin(kFilters), std::end(kFilters), name);
}

}  // namespace gradus::jinja
