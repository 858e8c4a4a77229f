// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/oniguruma.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "base/error.h"
#include "text/tokenizer/character_sets.h"
#include "text/unicode.h"

namespace gradus {
namespace {

constexpr int kMaxNesting = 100;

class Translator {
 public:
  Translator(const std::string& pattern, const std::string& where) : in_(pattern), where_(where) {}

  std::string run() {
    groups_.push_back({});
    while (at_ < in_.size()) step();
    if (groups_.size() != 1) refuse("has an unclosed group");
    return out_ + std::string(groups_.back().closers, ')');
  }

 private:
  struct Group {
    size_t start = 0;       // in out_
    size_t closers = 0;     // of groups opened for isolated options
    bool extended = false;  // spaces and comments do not count
  };

  [[noreturn]] void refuse(const std::string& why) const {
    throw Error(
        {.what = "regular expression " + why, .where = where_, .found = printable(in_, 200)});
  }

  bool looking_at(std::string_view text) const {
    return std::string_view(in_).substr(at_, text.size()) == text;
  }
  char peek(size_t ahead = 0) const { return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0'; }

  bool skip_comment() {
    if (!groups_.back().extended) return false;
    if (in_[at_] == '#') {
      at_ = std::min(in_.find('\n', at_), in_.size());
      return true;
    }
    if (std::string_view(" \t\n\r\f").find(in_[at_]) == std::string_view::npos) return false;
    ++at_;
    return true;
  }

  void step() {
    if (skip_comment()) return;
    const char c = in_[at_];
    if (c == '\\') return atom(escape());
    if (c == '[') return atom(char_class(0));
    if (c == '(') return open_group();
    if (c == ')') return close_group();
    if (c == '{') return repeat();
    if (c == '*' || c == '+' || c == '?' || c == '|') {
      out_ += in_[at_++];
      return;
    }
    const CodePoint point = decode_utf8(in_, at_);
    atom(in_.substr(at_, point.bytes));
    at_ += point.bytes;
  }

  void atom(const std::string& text) {
    atom_start_ = out_.size();
    out_ += text;
  }

  void open_group() {
    if (looking_at("(*") || looking_at("(?C") || looking_at("(?{") || looking_at("(?("))
      refuse("uses a callout, verb or condition");
    if (looking_at("(?#")) {
      const size_t end = in_.find(')', at_);
      if (end == std::string::npos) refuse("has an unclosed comment");
      at_ = end + 1;
      return;
    }
    if (groups_.size() > kMaxNesting) refuse("is nested too deeply");
    groups_.push_back({out_.size(), 0, groups_.back().extended});
    if (!options()) copy_group_head();
  }

  // `(`, and what follows it in `(?<name>`, `(?=` and the like.
  void copy_group_head() {
    out_ += in_[at_++];
    if (peek() != '?') return;
    do {
      out_ += in_[at_++];
    } while (at_ < in_.size() && std::string_view("<=!>:|~").find(in_[at_]) == std::string::npos);
    while (at_ < in_.size() && std::string_view("<=!>:|").find(in_[at_]) != std::string::npos)
      out_ += in_[at_++];
  }

  // `(?i)`, `(?m-ix:`: Oniguruma's m lets the dot match newlines; a lone `(?i)` reaches to the end
  // of the group and takes later alternatives with it.
  bool options() {
    size_t end = at_ + 2;
    if (!looking_at("(?")) return false;
    while (end < in_.size() && std::string_view("imx-").find(in_[end]) != std::string::npos) ++end;
    if (end == at_ + 2 || end >= in_.size() || (in_[end] != ')' && in_[end] != ':')) return false;
    bool on = true, extended = groups_.back().extended;
    out_ += "(?";
    for (const char flag : in_.substr(at_ + 2, end - at_ - 2)) {
      if (flag == '-') on = false;
      if (flag == 'x')
        extended = on;
      else
        out_ += flag == 'm' ? 's' : flag;
    }
    out_ += ":";
    at_ = end + 1;
    if (in_[end] == ')') {
      groups_.pop_back();
      ++groups_.back().closers;
    }
    groups_.back().extended = extended;
    return true;
  }

  void close_group() {
    if (groups_.size() == 1) refuse("has an unmatched ')'");
    out_ += std::string(groups_.back().closers + 1, ')');
    atom_start_ = groups_.back().start;
    groups_.pop_back();
    ++at_;
  }

  // `{n,m}` of Oniguruma's Ruby syntax: `{,m}` counts from 0; a following `+` repeats it instead of
  // making it possessive; `{n}?` is optional instead of lazy.
  void repeat() {
    size_t end = at_ + 1;
    bool comma = false, digits = false;
    for (; end < in_.size() && in_[end] != '}'; ++end) {
      if (in_[end] == ',' && !comma)
        comma = true;
      else if (in_[end] >= '0' && in_[end] <= '9')
        digits = true;
      else
        break;
    }
    if (end >= in_.size() || in_[end] != '}' || !digits) {
      ++at_;
      return atom("\\{");
    }
    std::string count = in_.substr(at_ + 1, end - at_ - 1);
    if (count[0] == ',') count = "0" + count;
    out_ += "{" + count + "}";
    at_ = end + 1;
    if (peek() == '+' || (peek() == '?' && !comma)) {
      out_ = out_.substr(0, atom_start_) + "(?:" + out_.substr(atom_start_) + ")" + in_[at_++];
    }
  }

  // The set that a class escape stands for, or none when the escape is something else. Leaves at_
  // behind the escape when it is one.
  std::optional<CharSet> class_escape(bool in_class) {
    const char kind = peek(1);
    if (std::string_view("sSwWdDhHpP").find(kind) == std::string_view::npos) return std::nullopt;
    bool negated = std::string_view("SWDHP").find(kind) != std::string_view::npos;
    at_ += 2;
    std::string items = escape_items(kind, in_class);
    if (kind == 'p' || kind == 'P') {
      std::string name = property_name();
      if (name.starts_with('^')) {
        negated = !negated;
        name.erase(0, 1);
      }
      items = !in_class && is_word(name) ? bare_word_items() : property_items(name);
    }
    return negated ? negative_set(items) : positive_set(items);
  }

  static bool is_word(const std::string& name) { return name == "word" || name == "Word"; }

  static std::string escape_items(char kind, bool in_class) {
    if (kind == 's' || kind == 'S') return "\\p{White_Space}";
    if (kind == 'w' || kind == 'W') return in_class ? word_items() : bare_word_items();
    if (kind == 'd' || kind == 'D') return category_items("Nd");
    return "0-9A-Fa-f";
  }

  static bool is_other_category(const std::string& items) {
    return items == "\\p{C}" || items == "\\p{Cn}";
  }
  static CharSet positive_set(const std::string& items) {
    if (!is_other_category(items)) return {.items = items};
    return {.others = {"(?![" + added_items() + "])" + items}};
  }
  static CharSet negative_set(const std::string& items) {
    if (items == "\\p{White_Space}") return {.items = "\\P{White_Space}"};
    if (!is_other_category(items)) return {.others = {"[^" + items + "]"}};
    return {.items = "\\P" + items.substr(2) + added_items()};
  }

  std::string property_name() {
    if (peek() != '{') refuse("has \\p without {}");
    const size_t end = in_.find('}', at_);
    if (end == std::string::npos || end - at_ > 64) refuse("has an unclosed \\p{");
    const std::string name = in_.substr(at_ + 1, end - at_ - 1);
    for (size_t i = 0; i < name.size(); ++i) {
      const char c = name[i];
      const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || c == '_' || c == '-' || c == ' ';
      if (!letter && !(i == 0 && c == '^')) refuse("has a bad property name");
    }
    at_ = end + 1;
    return name;
  }

  std::string escape() {
    if (at_ + 1 >= in_.size()) refuse("ends with a backslash");
    if (const auto set = class_escape(false)) return set_pattern(*set);
    const char kind = peek(1);
    if (kind == 'b' || kind == 'B') {
      at_ += 2;
      const std::string word = "[" + bare_word_items() + "]";
      const std::string same = kind == 'B' ? "!" : "=", other = kind == 'B' ? "=" : "!";
      return "(?:(?<=" + word + ")(?" + other + word + ")|(?<!" + word + ")(?" + same + word + "))";
    }
    if (kind == 'O') {
      at_ += 2;
      return "(?s:.)";
    }
    if (const auto value = literal_escape(false)) return code_point(*value);
    if (std::isalpha(static_cast<unsigned char>(kind)) &&
        std::string_view("AzZGKRXkgN").find(kind) == std::string_view::npos)
      refuse(cat("has the unknown escape \\", kind));
    const uint32_t bytes = decode_utf8(in_, at_ + 1).bytes;
    const std::string text = in_.substr(at_, 1 + bytes);
    at_ += 1 + bytes;
    return text;
  }

  // The code point of \n, \x41, \u3000 and the like.
  std::optional<uint32_t> literal_escape(bool in_class) {
    static const std::string_view kNames = "tnrfvae", kValues = "\t\n\r\f\v\a\x1B";
    const char kind = peek(1);
    const size_t named = kNames.find(kind);
    if (named != std::string_view::npos || (in_class && kind == 'b')) {
      at_ += 2;
      return in_class && kind == 'b' ? '\b' : static_cast<uint32_t>(kValues[named]);
    }
    if (kind == 'u') return hex_value(2, 4);
    if (kind == 'x' && peek(2) == '{') {
      const auto value = hex_value(3, 8);
      if (peek() != '}') refuse("has an unclosed \\x{");
      ++at_;
      return value;
    }
    if (kind == 'x') return hex_value(2, 2);
    if (kind == '0') {
      at_ += 2;
      return 0;
    }
    return std::nullopt;
  }

  uint32_t hex_value(size_t skip, size_t most) {
    at_ += skip;
    uint64_t value = 0;
    size_t digits = 0;
    for (; digits < most && at_ < in_.size() && std::isxdigit(static_cast<unsigned char>(in_[at_]));
         ++digits) {
      value =
          value * 16 + static_cast<uint64_t>(std::stoi(std::string(1, in_[at_++]), nullptr, 16));
    }
    if (digits == 0 || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000))
      refuse("has a bad code point");
    return static_cast<uint32_t>(value);
  }

  std::string char_class(int depth) {
    if (depth > kMaxNesting) refuse("is nested too deeply");
    ++at_;
    const bool negated = peek() == '^';
    at_ += negated;
    std::vector<CharSet> operands(1);
    bool first = true;
    while (first || peek() != ']') {
      if (at_ >= in_.size()) refuse("has an unclosed class");
      if (looking_at("&&")) {
        at_ += 2;
        operands.emplace_back();
      } else {
        class_item(operands.back(), depth);
      }
      first = false;
    }
    ++at_;
    for (const CharSet& set : operands) {
      if (set.items.empty() && set.others.empty()) refuse("has an empty class");
    }
    return class_pattern(operands, negated);
  }

  void class_item(CharSet& set, int depth) {
    if (looking_at("[:") && posix_bracket(set)) return;
    if (peek() == '[') {
      set.others.push_back(char_class(depth + 1));
      return;
    }
    if (peek() == '\\') {
      if (at_ + 1 >= in_.size()) refuse("ends with a backslash");
      if (const auto escaped = class_escape(true)) {
        set.items += escaped->items;
        set.others.insert(set.others.end(), escaped->others.begin(), escaped->others.end());
        return;
      }
    }
    const uint32_t low = class_character();
    set.items += code_point(low);
    const bool range = peek() == '-' && peek(1) != ']' && peek(1) != '[' && at_ + 1 < in_.size() &&
                       !(peek(1) == '&' && peek(2) == '&');
    if (!range ||
        (peek(1) == '\\' && std::string_view("sSwWdDhHpP").find(peek(2)) != std::string_view::npos))
      return;
    ++at_;
    const uint32_t high = class_character();
    if (high < low) refuse("has a range out of order");
    set.items += "-" + code_point(high);
  }

  uint32_t class_character() {
    if (peek() == '\\') {
      if (at_ + 1 >= in_.size()) refuse("ends with a backslash");
      if (const auto value = literal_escape(true)) return *value;
      ++at_;
    }
    const CodePoint point = decode_utf8(in_, at_);
    at_ += point.bytes;
    return point.value;
  }

  bool posix_bracket(CharSet& set) {
    const size_t end = in_.find(":]", at_ + 2);
    if (end == std::string::npos || end - at_ > 20) return false;
    std::string name = in_.substr(at_ + 2, end - at_ - 2);
    const bool negated = !name.empty() && name[0] == '^';
    if (negated) name.erase(0, 1);
    auto items = named_items(name);
    if (!items) return false;
    if (name == "punct") *items += category_items("S");
    if (negated)
      set.others.push_back("[^" + *items + "]");
    else
      set.items += *items;
    at_ = end + 2;
    return true;
  }

  const std::string& in_;
  const std::string& where_;
  size_t at_ = 0;
  std::string out_;
  size_t atom_start_ = 0;
  std::vector<Group> groups_;
};

}  // namespace

std::string oniguruma_to_pcre2(const std::string& pattern, const std::string& where) {
  if (find_invalid_utf8(pattern))
    throw Error({.what = "regular expression is not valid UTF-8", .where = where});
  return Translator(pattern, where).run();
}

}  // namespace gradus
