// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/error.h"
#include "text/jinja/format.h"
#include "text/jinja/operations.h"
#include "text/jinja/print.h"
#include "text/jinja/text_functions.h"

namespace gradus::jinja {
namespace {

constexpr Int kMaxWidth = 1'000'000;

struct Conversion {
  bool left = false, zero = false;
  Int width = 0;
  NumberFormat number;
};

class PercentFormatter {
 public:
  PercentFormatter(const Text& format, const Value& values) : format_(format), values_(values) {}

  Text run() {
    const std::string& text = format_.bytes;
    size_t plain = 0;
    while (true) {
      at_ = text.find('%', plain);
      if (at_ == std::string::npos) break;
      out_.append(format_, plain, at_++);
      convert();
      plain = at_;
    }
    out_.append(format_, plain, text.size());
    const bool tuple = values_.is(Kind::kTuple);
    const bool unused = tuple ? next_ < values_.items().size() : next_ == 0 && !has_items();
    if (unused && !named_) {
      throw Failure("not all arguments converted during string formatting");
    }
    out_.markup = format_.markup;
    return std::move(out_);
  }

 private:
  // Python lets mappings, which for it is everything with items, go unused.
  bool has_items() const {
    return values_.is(Kind::kDict) || values_.is(Kind::kList) || values_.is(Kind::kRange) ||
           values_.undefined();
  }

  char peek() const {
    if (at_ >= format_.bytes.size()) throw Failure("incomplete format");
    return format_.bytes[at_];
  }

  Value next_value() {
    if (values_.is(Kind::kTuple)) {
      if (next_ < values_.items().size()) return values_.items()[next_++];
    } else if (next_++ == 0) {
      return values_;
    }
    throw Failure("not enough arguments for format string");
  }

  Value named_value() {
    const size_t end = format_.bytes.find(')', at_);
    if (end == std::string::npos) throw Failure("incomplete format key");
    const std::string name = format_.bytes.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    named_ = true;
    if (!values_.is(Kind::kDict)) throw Failure("format requires a mapping");
    const Value* found = values_.dict_object().find(std::string_view(name));
    if (found == nullptr) throw Failure(cat("no such key: '", printable(name), "'"));
    return *found;
  }

  Int read_size() {
    if (peek() == '*') {
      ++at_;
      return require_int(next_value(), "* ");
    }
    Int size = 0;
    while (peek() >= '0' && peek() <= '9' && size <= kMaxWidth)
      size = size * 10 + (format_.bytes[at_++] - '0');
    return size;
  }

  bool read_flag(Conversion& conversion) {
    switch (peek()) {
      case '-':
        conversion.left = true;
        break;
      case '0':
        conversion.zero = true;
        break;
      case '+':
        conversion.number.sign = '+';
        break;
      case ' ':
        if (conversion.number.sign == '-') conversion.number.sign = ' ';
        break;
      case '#':
        conversion.number.alternate = true;
        break;
      default:
        return false;
    }
    ++at_;
    return true;
  }

  void convert() {
    Value value;
    if (peek() == '(') value = named_value();
    Conversion conversion;
    while (read_flag(conversion)) {
    }
    conversion.width = read_size();
    if (conversion.width < 0) conversion.left = true;
    if (conversion.width < 0) conversion.width = -conversion.width;
    if (peek() == '.') {
      ++at_;
      conversion.number.precision = static_cast<int>(std::clamp(read_size(), Int{0}, kMaxWidth));
    }
    if (conversion.width > kMaxWidth) throw Failure("the width is too large");
    while (peek() == 'l' || peek() == 'h' || peek() == 'L') ++at_;
    const char type = peek();
    ++at_;
    if (type == '%') return out_.append("%");
    if (value.missing()) value = next_value();
    append(conversion, type, value);
  }

  static Text cut(Text text, int precision) {
    if (precision < 0) return text;
    const std::vector<size_t> offsets = code_point_offsets(text.bytes);
    const auto count = std::min(static_cast<size_t>(precision), offsets.size() - 1);
    return text.slice(0, offsets[count]);
  }

  void append(Conversion conversion, char type, const Value& value) {
    conversion.number.type = type;
    const int precision = conversion.number.precision;
    switch (type) {
      case 's':
        return append_padded(conversion, cut(to_text(value), precision), false);
      case 'r':
        return append_padded(conversion, cut(repr(value), precision), false);
      case 'a':
        return append_padded(conversion, cut(ascii_repr(value), precision), false);
      case 'c':
        return append_padded(conversion, character(value), false);
      case 'd':
      case 'i':
      case 'u':
      case 'x':
      case 'X':
      case 'o':
        return append_padded(conversion, Text(integer(conversion, value)), true);
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        break;
      default:
        throw Failure(cat("unsupported format character '", printable({&type, 1}), "'"));
    }
    require_defined(value);
    if (!value.is_number()) throw Failure(cat("must be real number, not ", value.type_name()));
    append_padded(conversion, Text(format_float(value.as_double(), conversion.number)), true);
  }

  static Text character(const Value& value) {
    if (value.is(Kind::kString) && count_code_points(value.bytes()) == 1) return value.text();
    const Int code = require_int(value, "%c");
    if (code < 0 || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) {
      throw Failure("%c arg not in range");
    }
    std::string out;
    append_utf8(out, static_cast<char32_t>(code));
    return Text(out);
  }

  static std::string integer(const Conversion& conversion, const Value& value) {
    require_defined(value);
    const char type = conversion.number.type;
    const bool decimal = type == 'd' || type == 'i' || type == 'u';
    if (decimal && value.is(Kind::kFloat)) {
      if (!(value.as_double() > -1e28 && value.as_double() < 1e28))
        throw Failure("the number is too large");
      return format_int(static_cast<Int>(value.as_double()), conversion.number);
    }
    if (!value.is_integral()) {
      throw Failure(cat("%", type, " format: a number is required, not ", value.type_name()));
    }
    return format_int(value.as_int(), conversion.number);
  }

  void append_padded(const Conversion& conversion, Text text, bool number) {
    const auto length = static_cast<Int>(count_code_points(text.bytes));
    if (number && conversion.zero && !conversion.left && conversion.width > length) {
      const char first = text.bytes[0];
      size_t prefix = first == '-' || first == '+' || first == ' ' ? 1 : 0;
      if (conversion.number.alternate && text.bytes.compare(prefix, 1, "0") == 0) prefix += 2;
      prefix = std::min(prefix, text.bytes.size());
      text.bytes.insert(prefix, static_cast<size_t>(conversion.width - length), '0');
    }
    out_.append(pad(text, conversion.width, " ", conversion.left ? Side::kRight : Side::kLeft));
  }

  const Text& format_;
  const Value& values_;
  Text out_;
  size_t at_ = 0;
  size_t next_ = 0;
  bool named_ = false;
};

}  // namespace

Value percent_format(const Text& format, const Value& values) {
  return Value::string(PercentFormatter(format, values).run());
}

}  // namespace gradus::jinja
