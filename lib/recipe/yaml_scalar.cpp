// SPDX-License-Identifier: Apache-2.0
// YAML 1.2 §10.3 (core schema). yes, no, on, off and 1_000 are text in 1.2.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "recipe/yaml_node.h"

namespace gradus {
namespace {

bool all_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

std::string_view without_sign(std::string_view text) {
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  return text;
}

template <class T>
std::optional<T> parse_all(std::string_view text, int base = 10) {
  T value{};
  std::from_chars_result result{};
  if constexpr (std::is_floating_point_v<T>) {
    result = std::from_chars(text.data(), text.data() + text.size(), value);
  } else {
    result = std::from_chars(text.data(), text.data() + text.size(), value, base);
  }
  if (result.ec != std::errc() || result.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

int radix(std::string_view text) {
  if (text.substr(0, 2) == "0x") return 16;
  return text.substr(0, 2) == "0o" ? 8 : 10;
}

}  // namespace

std::optional<bool> yaml_bool(std::string_view text) {
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  return std::nullopt;
}

bool yaml_is_int(std::string_view text) {
  if (all_digits(without_sign(text))) return true;
  if (text.size() < 3 || radix(text) == 10) return false;
  const char* digits = radix(text) == 16 ? "0123456789abcdefABCDEF" : "01234567";
  return text.substr(2).find_first_not_of(digits) == std::string_view::npos;
}

std::optional<int64_t> yaml_int(std::string_view text) {
  if (!yaml_is_int(text)) return std::nullopt;
  if (const int base = radix(text); base != 10) return parse_all<int64_t>(text.substr(2), base);
  if (text[0] == '+') text.remove_prefix(1);
  return parse_all<int64_t>(text);
}

bool yaml_is_number(std::string_view text) {
  if (yaml_is_int(text)) return true;
  text = without_sign(text);
  const size_t exponent = std::min(text.find_first_of("eE"), text.size());
  std::string mantissa(text.substr(0, exponent));
  if (const size_t dot = mantissa.find('.'); dot != std::string::npos) mantissa.erase(dot, 1);
  if (!all_digits(mantissa)) return false;
  return exponent == text.size() || all_digits(without_sign(text.substr(exponent + 1)));
}

std::optional<double> yaml_double(std::string_view text) {
  if (!yaml_is_number(text)) return std::nullopt;
  if (const auto whole = yaml_int(text)) return static_cast<double>(*whole);
  if (text[0] == '+') text.remove_prefix(1);
  return parse_all<double>(text);  // out of range is an error of from_chars: never infinite
}

std::string describe(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      return "nothing";
    case YamlNode::Kind::kList:
      return "a list";
    case YamlNode::Kind::kMap:
      return "a map";
    case YamlNode::Kind::kPlain:
      return "'" + printable(node.text, 60) + "'";
    case YamlNode::Kind::kQuoted:
      return "the quoted text \"" + printable(node.text, 60) + "\"";
  }
  return {};
}

}  // namespace gradus
