// SPDX-License-Identifier: Apache-2.0
// json.dumps of CPython.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/error.h"
#include "text/jinja/operations.h"
#include "text/jinja/print.h"

namespace gradus::jinja {
namespace {

void append_unit(std::string& out, unsigned unit) {
  char escaped[8];
  std::snprintf(escaped, sizeof escaped, "\\u%04x", unit);
  out += escaped;
}

void append_non_ascii(std::string& out, char32_t c) {
  if (c < 0x10000) return append_unit(out, static_cast<unsigned>(c));
  append_unit(out, static_cast<unsigned>(0xD800 + ((c - 0x10000) >> 10)));
  append_unit(out, static_cast<unsigned>(0xDC00 + ((c - 0x10000) & 0x3FF)));
}

const char* short_escape(char32_t c) {
  switch (c) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    case '\b':
      return "\\b";
    case '\f':
      return "\\f";
    default:
      return nullptr;
  }
}

std::string json_string(const std::string& text, JsonStyle::Escape escape) {
  spend_bytes(text.size() * 4);
  std::string out = "\"";
  for (size_t i = 0; i < text.size();) {
    const char32_t c = next_code_point(text, i);
    if (const char* known = short_escape(c)) {
      out += known;
    } else if (c < 0x20) {
      append_unit(out, static_cast<unsigned>(c));
    } else if (c >= 0x7F && escape == JsonStyle::Escape::kNonAscii) {
      c == 0x7F ? out.push_back('\x7F') : append_non_ascii(out, c);
    } else {
      append_utf8(out, c);
    }
  }
  return out + '"';
}

std::string json_number(const Value& value) {
  if (value.is(Kind::kBool)) return value.as_bool() ? "true" : "false";
  if (value.is(Kind::kInt)) return int_repr(value.as_int());
  const double number = value.as_double();
  if (std::isnan(number)) return "NaN";
  if (std::isinf(number)) return number < 0 ? "-Infinity" : "Infinity";
  return float_repr(number);
}

class JsonWriter {
 public:
  explicit JsonWriter(const JsonStyle& style) : style_(style) {}

  void write(const Value& value) {
    const DepthGuard guard;
    spend(1);
    switch (value.kind()) {
      case Kind::kNone:
        out.append("null");
        break;
      case Kind::kBool:
      case Kind::kInt:
      case Kind::kFloat:
        out.append(json_number(value));
        break;
      case Kind::kString:
        write_string(value);
        break;
      case Kind::kList:
      case Kind::kTuple:
        write_list(value.items());
        break;
      case Kind::kDict:
        write_dict(value.dict_object());
        break;
      default:
        throw Failure(cat("Object of type ", value.type_name(), " is not JSON serializable"));
    }
  }

  Text out;

 private:
  void write_string(const Value& value) {
    out.append_marked(json_string(value.bytes(), style_.escape), value.text());
  }

  void break_line() {
    if (!style_.indent) return;
    out.append("\n");
    for (size_t i = 0; i < level_; ++i) out.append(*style_.indent);
  }

  void begin_item(bool first) {
    if (!first) out.append(style_.item_separator);
    break_line();
  }

  void write_list(const std::vector<Value>& items) {
    if (items.empty()) return out.append("[]");
    out.append("[");
    ++level_;
    for (size_t i = 0; i < items.size(); ++i) {
      begin_item(i == 0);
      write(items[i]);
    }
    --level_;
    break_line();
    out.append("]");
  }

  void write_key(const Value& key) {
    if (key.is(Kind::kString)) return write_string(key);
    if (!key.is_number() && !key.is(Kind::kNone)) {
      throw Failure(cat("keys must be str, int, float, bool or None, not ", key.type_name()));
    }
    out.append("\"" + (key.is(Kind::kNone) ? std::string("null") : json_number(key)) + "\"");
  }

  void write_dict(const DictObject& dict) {
    if (dict.entries().empty()) return out.append("{}");
    auto entries = dict.entries();
    if (style_.keys == JsonStyle::Keys::kSorted) {
      std::stable_sort(entries.begin(), entries.end(),
                       [](const auto& a, const auto& b) { return less(a.first, b.first); });
    }
    out.append("{");
    ++level_;
    for (size_t i = 0; i < entries.size(); ++i) {
      begin_item(i == 0);
      write_key(entries[i].first);
      out.append(style_.key_separator);
      write(entries[i].second);
    }
    --level_;
    break_line();
    out.append("}");
  }

  const JsonStyle& style_;
  size_t level_ = 0;
};

}  // namespace

Text to_json(const Value& value, const JsonStyle& style) {
  JsonWriter writer(style);
  writer.write(value);
  return std::move(writer.out);
}

}  // namespace gradus::jinja
