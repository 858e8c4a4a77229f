// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/print.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "text/jinja/python_str.h"

namespace gradus::jinja {
namespace {

// Digits and exponent of the shortest decimal that reads back as `value`: 0.d1d2… × 10^point.
struct Decimal {
  std::string digits;
  int point = 0;
};

Decimal shortest(double value) {
  char buffer[40];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  const std::string text(buffer, end.ptr);
  const size_t e = text.find('e');
  Decimal out;
  for (const char c : text.substr(0, e)) {
    if (c != '.') out.digits += c;
  }
  out.point = std::stoi(text.substr(e + 1)) + 1;
  return out;
}

std::string fixed(Decimal decimal) {
  if (decimal.point <= 0) {
    return "0." + std::string(static_cast<size_t>(-decimal.point), '0') + decimal.digits;
  }
  const auto point = static_cast<size_t>(decimal.point);
  if (decimal.digits.size() <= point) {
    return decimal.digits + std::string(point - decimal.digits.size(), '0') + ".0";
  }
  return decimal.digits.insert(point, ".");
}

std::string scientific(const Decimal& decimal) {
  std::string out = decimal.digits.substr(0, 1);
  if (decimal.digits.size() > 1) out += "." + decimal.digits.substr(1);
  char exponent[16];
  std::snprintf(exponent, sizeof exponent, "e%+03d", decimal.point - 1);
  return out + exponent;
}

std::string hex_escape(char32_t c) {
  char out[16];
  const char* format = c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x";
  std::snprintf(out, sizeof out, format, static_cast<unsigned>(c));
  return out;
}

enum class Charset { kUnicode, kAscii };

void append_quoted_char(std::string& out, char32_t c, char quote, Charset charset) {
  if (c == static_cast<char32_t>(quote) || c == '\\') {
    out += '\\';
    out += static_cast<char>(c);
  } else if (c == '\n') {
    out += "\\n";
  } else if (c == '\r') {
    out += "\\r";
  } else if (c == '\t') {
    out += "\\t";
  } else if (!is_printable(c) || (charset == Charset::kAscii && c >= 0x80)) {
    out += hex_escape(c);
  } else {
    append_utf8(out, c);
  }
}

std::string quote_text(const std::string& text, Charset charset) {
  spend_bytes(text.size() * 4);
  const bool single = text.find('\'') != std::string::npos;
  const char quote = single && text.find('"') == std::string::npos ? '"' : '\'';
  std::string out(1, quote);
  for (size_t i = 0; i < text.size();)
    append_quoted_char(out, next_code_point(text, i), quote, charset);
  return out + quote;
}

class Printer {
 public:
  explicit Printer(Charset charset) : charset_(charset) {}

  void print(const Value& value) {
    const DepthGuard guard;
    spend(1);
    switch (value.kind()) {
      case Kind::kString:
        print_string(value);
        break;
      case Kind::kList:
        print_items("[", value.items(), "]");
        break;
      case Kind::kTuple:
        print_items("(", value.items(), value.items().size() == 1 ? ",)" : ")");
        break;
      case Kind::kDict:
        print_dict(value.dict_object());
        break;
      case Kind::kView:
        out.append(std::string(value.type_name()));
        print_items("([", value.items(), "])");
        break;
      case Kind::kNamespace:
        print_namespace(value.namespace_object());
        break;
      default:
        out.append(simple(value));
    }
  }

  Text out;

 private:
  static std::string simple(const Value& value) {
    switch (value.kind()) {
      case Kind::kNone:
        return "None";
      case Kind::kBool:
        return value.as_bool() ? "True" : "False";
      case Kind::kInt:
        return int_repr(value.as_int());
      case Kind::kFloat:
        return float_repr(value.as_double());
      case Kind::kRange:
        return range_repr(value.range_object());
      case Kind::kIterator:
        return "<generator object>";
      case Kind::kHost:
        return value.host_object().repr();
      default:
        return "Undefined";
    }
  }

  static std::string range_repr(const RangeObject& range) {
    const std::string bounds = "range(" + int_repr(range.start) + ", " + int_repr(range.stop);
    return bounds + (range.step == 1 ? ")" : ", " + int_repr(range.step) + ")");
  }

  void print_string(const Value& value) {
    const std::string quoted = quote_text(value.bytes(), charset_);
    out.append_marked(value.text().markup ? "Markup(" + quoted + ")" : quoted, value.text());
  }

  void print_items(std::string_view open, const std::vector<Value>& items, std::string_view close) {
    out.append(open);
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out.append(", ");
      print(items[i]);
    }
    out.append(close);
  }

  void print_dict(const DictObject& dict) {
    out.append("{");
    bool first = true;
    for (const auto& [key, value] : dict.entries()) {
      if (!first) out.append(", ");
      first = false;
      print(key);
      out.append(": ");
      print(value);
    }
    out.append("}");
  }

  void print_namespace(const NamespaceObject& space) {
    DictObject attributes;
    for (const auto& [name, value] : space.attributes) attributes.set(Value::string(name), value);
    out.append("<Namespace ");
    print_dict(attributes);
    out.append(">");
  }

  Charset charset_;
};

Text printed(const Value& value, Charset charset) {
  Printer printer(charset);
  printer.print(value);
  return std::move(printer.out);
}

}  // namespace

std::string int_repr(Int value) {
  if (value == 0) return "0";
  std::string digits;
  const bool negative = value < 0;
  for (; value != 0; value /= 10) {
    const int digit = static_cast<int>(value % 10);
    digits += static_cast<char>('0' + (digit < 0 ? -digit : digit));
  }
  if (negative) digits += '-';
  std::reverse(digits.begin(), digits.end());
  return digits;
}

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  const std::string sign = std::signbit(value) ? "-" : "";
  if (value == 0) return sign + "0.0";
  const Decimal decimal = shortest(std::abs(value));
  const bool plain = decimal.point > -4 && decimal.point <= 16;
  return sign + (plain ? fixed(decimal) : scientific(decimal));
}

Text repr(const Value& value) { return printed(value, Charset::kUnicode); }
Text ascii_repr(const Value& value) { return printed(value, Charset::kAscii); }

Text to_text(const Value& value) {
  if (value.is(Kind::kString)) return value.text();
  if (value.undefined() || value.missing()) return {};
  return repr(value);
}

}  // namespace gradus::jinja
