// SPDX-License-Identifier: Apache-2.0
// str.format and the format specification mini-language.
#include <algorithm>
#include <cctype>
#include <cmath>

#include "base/error.h"
#include "text/jinja/format.h"
#include "text/jinja/library.h"
#include "text/jinja/operations.h"
#include "text/jinja/print.h"
#include "text/jinja/text_functions.h"

namespace gradus::jinja {
namespace {

constexpr Int kMaxWidth = 1'000'000;

struct Spec {
  Text fill = " ";
  char align = '\0';
  char sign = '-';
  bool has_sign = false;
  bool alternate = false;
  Int width = 0;
  char grouping = '\0';
  int precision = -1;
  char type = '\0';
};

class SpecParser {
 public:
  explicit SpecParser(const std::string& text) : text_(text), offsets_(code_point_offsets(text)) {}

  Spec parse() {
    read_alignment();
    if (const char c = peek(); c == '+' || c == '-' || c == ' ') {
      spec_.sign = take();
      spec_.has_sign = true;
    }
    if (peek() == '#') spec_.alternate = take() != '\0';
    if (peek() == '0') {
      take();
      if (spec_.align == '\0') {
        spec_.align = '=';
        spec_.fill = "0";
      }
    }
    spec_.width = read_int(0);
    if (peek() == ',' || peek() == '_') spec_.grouping = take();
    if (peek() == '.') {
      take();
      const Int precision = read_int(-1);
      if (precision < 0) throw Failure("Format specifier missing precision");
      spec_.precision = static_cast<int>(precision);
    }
    spec_.type = take();
    if (at_ < text_.size()) throw Failure("Invalid format specifier");
    return spec_;
  }

 private:
  static bool is_align(char c) { return c == '<' || c == '>' || c == '^' || c == '='; }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  char take() { return at_ < text_.size() ? text_[at_++] : '\0'; }

  void read_alignment() {
    if (offsets_.size() > 2 && is_align(text_[offsets_[1]])) {
      spec_.fill = Text(text_.substr(0, offsets_[1]));
      spec_.align = text_[offsets_[1]];
      at_ = offsets_[1] + 1;
    } else if (is_align(peek())) {
      spec_.align = take();
    }
  }

  Int read_int(Int fallback) {
    if (std::isdigit(static_cast<unsigned char>(peek())) == 0) return fallback;
    Int value = 0;
    while (std::isdigit(static_cast<unsigned char>(peek())) != 0) {
      value = value * 10 + (take() - '0');
      if (value > kMaxWidth) throw Failure("Too many decimal digits in format string");
    }
    return value;
  }

  const std::string& text_;
  const std::vector<size_t> offsets_;
  size_t at_ = 0;
  Spec spec_;
};

[[noreturn]] void bad_type(const Spec& spec, const Value& value) {
  throw Failure(cat("Unknown format code '", printable({&spec.type, 1}), "' for object of type '",
                    value.type_name(), "'"));
}

Text aligned(const Text& text, const Spec& spec, char default_align) {
  const char align = spec.align == '\0' ? default_align : spec.align;
  const Side side = align == '<' ? Side::kRight : align == '>' ? Side::kLeft : Side::kBoth;
  if (side != Side::kBoth) return pad(text, spec.width, spec.fill, side);
  // Unlike str.center, the mini-language puts the odd character to the right.
  const Int missing = spec.width - static_cast<Int>(count_code_points(text.bytes));
  if (missing <= 0) return text;
  Text out = repeat_text(spec.fill, missing / 2);
  out.append(text);
  out.append(repeat_text(spec.fill, missing - missing / 2));
  return out;
}

Text format_text(const Value& value, const Spec& spec) {
  if ((spec.type != '\0' && spec.type != 's') || spec.grouping != '\0') bad_type(spec, value);
  if (spec.align == '=' && spec.fill.bytes != "0") {
    throw Failure("'=' alignment not allowed in string format specifier");
  }
  if (spec.has_sign || spec.alternate)
    throw Failure("sign and '#' are not allowed in string format specifier");
  Text text = value.text();
  if (spec.precision >= 0) {
    const std::vector<size_t> offsets = code_point_offsets(text.bytes);
    text =
        text.slice(0, offsets[std::min(static_cast<size_t>(spec.precision), offsets.size() - 1)]);
  }
  Spec left = spec;
  if (left.align == '=') left.align = '<';
  return aligned(text, left, '<');
}

void group_digits(std::string& digits, char separator, size_t group) {
  const size_t begin = digits.find_first_of("0123456789abcdefABCDEF");
  size_t end = begin;
  while (end < digits.size() && std::isxdigit(static_cast<unsigned char>(digits[end])) != 0) ++end;
  if (begin == std::string::npos) return;
  for (size_t i = end; i > begin + group;) {
    i -= group;
    digits.insert(i, 1, separator);
  }
}

// How Python formats a float without a type: like repr, or like 'g' with a precision.
std::string general_float(double value, const Spec& spec, const NumberFormat& number) {
  if (spec.precision < 0) {
    std::string text = float_repr(value);
    if (value >= 0 && spec.sign != '-') text.insert(0, 1, spec.sign);
    return text;
  }
  std::string text = format_float(value, number);
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  return text;
}

std::string number_digits(const Value& value, const Spec& spec) {
  NumberFormat number{.type = spec.type,
                      .sign = spec.sign,
                      .alternate = spec.alternate,
                      .precision = spec.precision};
  const bool real = std::string_view("eEfFgG%").find(spec.type) != std::string_view::npos;
  if (spec.type != '\0' && real) return format_float(value.as_double(), number);
  if (value.is(Kind::kFloat)) {
    if (spec.type != '\0' && spec.type != 'n') bad_type(spec, value);
    number.type = 'g';
    return spec.type == 'n' ? format_float(value.as_double(), number)
                            : general_float(value.as_double(), spec, number);
  }
  if (spec.type == '\0' || spec.type == 'n') number.type = 'd';
  if (std::string_view("dboxX").find(number.type) == std::string_view::npos) bad_type(spec, value);
  if (spec.precision >= 0) throw Failure("Precision not allowed in integer format specifier");
  return format_int(value.as_int(), number);
}

Text format_number(const Value& value, const Spec& spec) {
  if (spec.grouping == ',' && std::string_view("boxXcn").find(spec.type) != std::string_view::npos)
    throw Failure(cat("Cannot specify ',' with '", printable({&spec.type, 1}), "'."));
  if (spec.type == 'c') {
    if (spec.has_sign || spec.precision >= 0)
      throw Failure("sign and precision are not allowed with 'c'");
    return aligned(percent_format("%c", Value::tuple({value})).text(), spec, '<');
  }
  std::string digits = number_digits(value, spec);
  const bool decimal =
      spec.type == '\0' || std::string_view("deEfFgG%n").find(spec.type) != std::string_view::npos;
  if (spec.grouping != '\0') group_digits(digits, spec.grouping, decimal ? 3 : 4);
  if (spec.align != '=') return aligned(Text(digits), spec, '>');
  const size_t sign = digits.find_first_of("0123456789in");
  Text out(digits.substr(0, sign));
  out.append(
      pad(Text(digits.substr(sign)), spec.width - static_cast<Int>(sign), spec.fill, Side::kLeft));
  return out;
}

class BraceFormatter {
 public:
  BraceFormatter(const Text& format, const Arguments& arguments)
      : format_(format), arguments_(arguments) {}

  Text run() {
    const std::string& text = format_.bytes;
    size_t plain = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      const char c = text[i];
      if (c != '{' && c != '}') continue;
      out_.append(format_, plain, i);
      if (i + 1 < text.size() && text[i + 1] == c) {
        out_.append(std::string(1, c));
        ++i;
      } else if (c == '}') {
        throw Failure("Single '}' encountered in format string");
      } else {
        i = format_field(i + 1);
      }
      plain = i + 1;
    }
    out_.append(format_, plain, text.size());
    out_.markup = format_.markup;
    return std::move(out_);
  }

 private:
  // The offset of the brace that closes the field beginning at `begin`.
  size_t field_end(size_t begin) const {
    int depth = 1;
    for (size_t i = begin; i < format_.bytes.size(); ++i) {
      if (format_.bytes[i] == '{') ++depth;
      if (format_.bytes[i] == '}' && --depth == 0) return i;
    }
    throw Failure("expected '}' before end of string");
  }

  size_t format_field(size_t begin) {
    const size_t end = field_end(begin);
    const std::string field = format_.bytes.substr(begin, end - begin);
    const size_t name_end = std::min(field.find_first_of("!:"), field.size());
    Value value = lookup(field.substr(0, name_end));
    size_t spec = name_end;
    if (spec < field.size() && field[spec] == '!') {
      value = converted(value, spec + 1 < field.size() ? field[spec + 1] : '\0');
      spec += 2;
      if (spec < field.size() && field[spec] != ':') {
        throw Failure("expected ':' after conversion specifier");
      }
    }
    const std::string raw = spec < field.size() ? field.substr(spec + 1) : "";
    out_.append(format_value(value, expand(raw)));
    return end;
  }

  static Value converted(const Value& value, char conversion) {
    if (conversion == 's') return Value::string(to_text(value));
    if (conversion == 'r') return Value::string(repr(value));
    if (conversion == 'a') return Value::string(ascii_repr(value));
    throw Failure("Unknown conversion specifier");
  }

  // Fields inside a specification, one level deep.
  std::string expand(const std::string& spec) {
    std::string out;
    for (size_t i = 0; i < spec.size(); ++i) {
      if (spec[i] != '{') {
        out += spec[i];
        continue;
      }
      const size_t end = spec.find('}', i);
      if (end == std::string::npos) throw Failure("expected '}' before end of string");
      out += format_value(lookup(spec.substr(i + 1, end - i - 1)), "").bytes;
      i = end;
    }
    return out;
  }

  Value first(const std::string& name) {
    const bool digits = !name.empty() && name.find_first_not_of("0123456789") == std::string::npos;
    if (name.empty() || digits) {
      if ((name.empty() && manual_) || (digits && automatic_ > 0)) {
        throw Failure("cannot mix automatic and manual field numbering");
      }
      if (digits) manual_ = true;
      if (name.size() > 6) throw Failure("Too many decimal digits in format string");
      const size_t index = name.empty() ? automatic_++ : std::stoul(name);
      if (index >= arguments_.positional.size()) {
        throw Failure(cat("Replacement index ", index, " out of range for positional args tuple"));
      }
      return arguments_.positional[index];
    }
    for (const auto& [key, value] : arguments_.named) {
      if (key == name) return value;
    }
    throw Failure(cat("no such field: '", printable(name), "'"));
  }

  Value lookup(const std::string& path) {
    size_t at = std::min(path.find_first_of(".["), path.size());
    Value value = first(path.substr(0, at));
    while (at < path.size()) {
      const bool item = path[at] == '[';
      const size_t end =
          item ? path.find(']', at) : std::min(path.find_first_of(".[", at + 1), path.size());
      if (end == std::string::npos) throw Failure("Missing ']' in format string");
      const std::string name = path.substr(at + 1, end - at - 1);
      if (name.empty()) throw Failure("Empty attribute in format string");
      value = item ? get_item(value, item_key(name)) : get_attribute(value, name);
      at = end + (item ? 1 : 0);
      if (item && at < path.size() && path[at] != '.' && path[at] != '[') {
        throw Failure("Only '.' or '[' may follow ']' in format field specifier");
      }
    }
    return value;
  }

  static Value item_key(const std::string& name) {
    const bool digits =
        name.size() < 18 && name.find_first_not_of("0123456789") == std::string::npos;
    return digits ? Value::integer(std::stoll(name)) : Value::string(name);
  }

  const Text& format_;
  const Arguments& arguments_;
  Text out_;
  size_t automatic_ = 0;
  bool manual_ = false;
};

}  // namespace

Text format_value(const Value& value, const std::string& spec) {
  if (spec.empty()) return to_text(value);
  const Spec parsed = SpecParser(spec).parse();
  if (value.is(Kind::kString)) return format_text(value, parsed);
  const bool plain_bool = value.is(Kind::kBool) && parsed.type == '\0';
  if (value.is_number() && !plain_bool) return format_number(value, parsed);
  if (plain_bool) return format_number(Value::integer(value.as_int()), parsed);
  throw Failure(cat("unsupported format string passed to ", value.type_name(), ".__format__"));
}

Text brace_format(const Text& format, const Arguments& arguments) {
  return BraceFormatter(format, arguments).run();
}

}  // namespace gradus::jinja
