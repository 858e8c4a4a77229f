// SPDX-License-Identifier: Apache-2.0
// pprint.pformat() of CPython with its defaults: lines of 80 characters, one item a line where a
// container does not fit, keys sorted.
#include <algorithm>

#include "text/jinja/operations.h"
#include "text/jinja/print.h"
#include "text/jinja/python_str.h"
#include "text/jinja/text_functions.h"

namespace gradus::jinja {
namespace {

constexpr Int kLineWidth = 80;
using Entries = std::vector<std::pair<Value, Value>>;

Int width_of(const Text& text) { return static_cast<Int>(count_code_points(text.bytes)); }

// Keys that have no order are sorted by the names of their types.
bool key_less(const Value& a, const Value& b) {
  if (const auto order = order_of(a, b)) return *order < 0;
  return std::string_view(a.type_name()) < std::string_view(b.type_name());
}

Entries sorted_entries(const DictObject& dict) {
  Entries entries = dict.entries();
  spend(entries.size());
  std::stable_sort(entries.begin(), entries.end(),
                   [](const auto& a, const auto& b) { return key_less(a.first, b.first); });
  return entries;
}

// The tuples of |groupby and dict views print as repr() does.
bool is_plain_container(const Value& value) {
  if (value.is(Kind::kTuple)) return !value.list_object().group;
  return value.is(Kind::kList) || value.is(Kind::kDict);
}

std::string_view closing(const Value& value) {
  if (value.is(Kind::kDict)) return "}";
  if (value.is(Kind::kList)) return "]";
  return value.items().size() == 1 ? ",)" : ")";
}

std::string_view opening(const Value& value) {
  return value.is(Kind::kDict) ? "{" : value.is(Kind::kList) ? "[" : "(";
}

// repr() with sorted keys.
Text one_line(const Value& value) {
  if (!is_plain_container(value)) return repr(value);
  const DepthGuard guard;
  spend(1);
  Text out(opening(value));
  if (value.is(Kind::kDict)) {
    for (const auto& [key, item] : sorted_entries(value.dict_object())) {
      if (out.bytes.size() > 1) out.append(", ");
      out.append(one_line(key));
      out.append(": ");
      out.append(one_line(item));
    }
  } else {
    for (const Value& item : value.items()) {
      if (out.bytes.size() > 1) out.append(", ");
      out.append(one_line(item));
    }
  }
  out.append(closing(value));
  return out;
}

// The parts of a line of text that a break may stand between: words with the space behind them.
std::vector<Text> words_of(const Text& line) {
  std::vector<Text> words;
  size_t begin = 0;
  bool in_space = false;
  for (size_t i = 0; i < line.bytes.size();) {
    const size_t start = i;
    const bool space = is_space(next_code_point(line.bytes, i));
    if (in_space && !space) {
      words.push_back(line.slice(begin, start));
      begin = start;
    }
    in_space = space;
  }
  words.push_back(line.slice(begin, line.bytes.size()));
  return words;
}

class PrettyPrinter {
 public:
  // `reserved` characters will follow on the last line; `level` is how many containers are around.
  void print(const Value& value, Int indent, Int reserved, size_t level) {
    const DepthGuard guard;
    spend(1);
    const Text line = one_line(value);
    const bool text = value.is(Kind::kString) && !value.text().markup && !value.bytes().empty();
    if (width_of(line) <= kLineWidth - indent - reserved || !(text || is_plain_container(value))) {
      return out.append(line);
    }
    if (text) return print_text(value.text(), indent, reserved, level);
    const std::string_view end = closing(value);
    const Int last = reserved + static_cast<Int>(end.size());
    out.append(opening(value));
    if (value.is(Kind::kDict)) {
      print_entries(sorted_entries(value.dict_object()), indent + 1, last, level + 1);
    } else {
      print_items(value.items(), indent + 1, last, level + 1);
    }
    out.append(end);
  }

  Text out;

 private:
  void print_items(const std::vector<Value>& items, Int indent, Int reserved, size_t level) {
    for (size_t i = 0; i < items.size(); ++i) {
      const bool last = i + 1 == items.size();
      print(items[i], indent, last ? reserved : 1, level);
      if (!last) break_line(",", indent);
    }
  }

  void print_entries(const Entries& entries, Int indent, Int reserved, size_t level) {
    for (size_t i = 0; i < entries.size(); ++i) {
      const bool last = i + 1 == entries.size();
      const Text key = one_line(entries[i].first);
      out.append(key);
      out.append(": ");
      print(entries[i].second, indent + width_of(key) + 2, last ? reserved : 1, level);
      if (!last) break_line(",", indent);
    }
  }

  // As literals that Python joins, in brackets where nothing else holds the lines together.
  void print_text(const Text& text, Int indent, Int reserved, size_t level) {
    const bool alone = level == 0;
    if (alone) {
      ++indent;
      ++reserved;
    }
    const std::vector<Text> parts = literals(text, kLineWidth - indent, reserved);
    const bool brackets = alone && parts.size() > 1;
    if (brackets) out.append("(");
    for (size_t i = 0; i < parts.size(); ++i) {
      if (i > 0) break_line("", indent);
      out.append(parts[i]);
    }
    if (brackets) out.append(")");
  }

  static Text literal(const Text& text) { return repr(Value::string(text)); }

  static std::vector<Text> literals(const Text& text, Int width, Int reserved) {
    std::vector<Text> out;
    const std::vector<Text> lines = split_lines(text, LineEnds::kKept);
    for (size_t i = 0; i < lines.size(); ++i) {
      const Int last = i + 1 == lines.size() ? reserved : 0;
      Text whole = literal(lines[i]);
      if (width_of(whole) <= width - last) {
        out.push_back(std::move(whole));
      } else {
        add_words(out, words_of(lines[i]), width, last);
      }
    }
    return out;
  }

  // As many words as fit into each literal, at least one.
  static void add_words(std::vector<Text>& out, const std::vector<Text>& words, Int width,
                        Int reserved) {
    Text current;
    for (size_t i = 0; i < words.size(); ++i) {
      Text candidate = current;
      candidate.append(words[i]);
      const Int room = i + 1 == words.size() ? width - reserved : width;
      const bool fits = width_of(literal(candidate)) <= room;
      if (!fits && !current.bytes.empty()) out.push_back(literal(current));
      if (!fits) candidate = words[i];
      current = std::move(candidate);
    }
    if (!current.bytes.empty()) out.push_back(literal(current));
  }

  void break_line(const char* end, Int indent) {
    check_text_size(static_cast<size_t>(indent));
    out.append(end);
    out.append("\n" + std::string(static_cast<size_t>(indent), ' '));
  }
};

}  // namespace

Text pretty_print(const Value& value) {
  PrettyPrinter printer;
  printer.print(value, 0, 0, 0);
  return std::move(printer.out);
}

}  // namespace gradus::jinja
