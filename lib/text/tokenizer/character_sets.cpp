// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/character_sets.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <cstdio>
#include <map>
#include <string_view>

#include "text/unicode_additions.h"

namespace gradus {

std::string code_point(uint32_t value) {
  char buffer[16];
  std::snprintf(buffer, sizeof buffer, "\\x{%X}", value);
  return buffer;
}

namespace {

template <class Keep>
std::string additions(Keep&& keep) {
  std::string out;
  for (const AddedRange& range : kUnicodeAdditions) {
    if (!keep(range)) continue;
    out += code_point(range.first);
    if (range.last > range.first) out += "-" + code_point(range.last);
  }
  return out;
}

}  // namespace

std::string category_items(const std::string& name) {
  return "\\p{" + name + "}" + additions([&](const AddedRange& range) {
           return std::string_view(range.category).starts_with(name);
         });
}

namespace {

// Combining letters became alphabetic in Unicode 16.
std::string alphabetic_items() {
  return "\\p{Alphabetic}\\x{363}-\\x{36F}\\x{1DD3}-\\x{1DE6}" +
         additions([](const AddedRange& range) { return range.alphabetic; });
}

}  // namespace

std::string word_items() {
  return alphabetic_items() + category_items("M") + category_items("Nd") + category_items("Pc");
}

// Outside brackets, Oniguruma counts the superscript digits and fractions of Latin-1 as words.
std::string bare_word_items() { return word_items() + "\\xB2\\xB3\\xB9\\xBC-\\xBE"; }

namespace {

// Names without case, spaces, '-' and '_', as Oniguruma compares them.
std::string plain_name(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (c != ' ' && c != '_' && c != '-')
      out += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  }
  return out;
}

bool compiles(const std::string& pattern) {
  int code = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* compiled = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                       PCRE2_UTF | PCRE2_UCP, &code, &offset, nullptr);
  pcre2_code_free(compiled);
  return compiled != nullptr;
}

// Everything that leaves ink, and a space.
std::string graph_items() {
  std::string out;
  for (const char* category : {"L", "M", "N", "P", "S", "Cf", "Co"})
    out += category_items(category);
  return out;
}

}  // namespace

// Bracket items of the POSIX classes and properties that are not plain general categories.
std::optional<std::string> named_items(const std::string& plain) {
  static const std::map<std::string, std::string> kNames = {
      {"alpha", alphabetic_items()},
      {"alphabetic", alphabetic_items()},
      {"alnum", alphabetic_items() + category_items("Nd")},
      {"word", word_items()},
      {"space", "\\p{White_Space}"},
      {"whitespace", "\\p{White_Space}"},
      {"digit", category_items("Nd")},
      {"punct", category_items("P")},
      {"upper", "\\p{Uppercase}" + category_items("Lu")},
      {"lower", "\\p{Lowercase}\\x{10FC}\\x{1E030}-\\x{1E06D}" + category_items("Ll")},
      {"xdigit", "0-9A-Fa-f"},
      {"blank", "\\p{Zs}\\t"},
      {"cntrl", "\\p{Cc}"},
      {"graph", graph_items()},
      {"print", graph_items() + category_items("Zs")},
      {"ascii", "\\x00-\\x7F"},
      {"any", "\\x{0}-\\x{10FFFF}"},
  };
  const auto found = kNames.find(plain);
  if (found == kNames.end()) return std::nullopt;
  return found->second;
}

namespace {

// The long names of the general categories.
std::string short_name(const std::string& plain) {
  static const std::map<std::string_view, std::string_view> kNames = {
      {"casedletter", "lc"},
      {"closepunctuation", "pe"},
      {"connectorpunctuation", "pc"},
      {"control", "cc"},
      {"currencysymbol", "sc"},
      {"dashpunctuation", "pd"},
      {"decimalnumber", "nd"},
      {"enclosingmark", "me"},
      {"finalpunctuation", "pf"},
      {"format", "cf"},
      {"initialpunctuation", "pi"},
      {"letter", "l"},
      {"letternumber", "nl"},
      {"lineseparator", "zl"},
      {"lowercaseletter", "ll"},
      {"mark", "m"},
      {"mathsymbol", "sm"},
      {"modifierletter", "lm"},
      {"modifiersymbol", "sk"},
      {"nonspacingmark", "mn"},
      {"number", "n"},
      {"openpunctuation", "ps"},
      {"other", "c"},
      {"otherletter", "lo"},
      {"othernumber", "no"},
      {"otherpunctuation", "po"},
      {"othersymbol", "so"},
      {"paragraphseparator", "zp"},
      {"privateuse", "co"},
      {"punctuation", "p"},
      {"separator", "z"},
      {"spaceseparator", "zs"},
      {"spacingmark", "mc"},
      {"symbol", "s"},
      {"titlecaseletter", "lt"},
      {"unassigned", "cn"},
      {"uppercaseletter", "lu"}};
  const auto found = kNames.find(plain);
  return found == kNames.end() ? plain : std::string(found->second);
}

bool is_category(const std::string& plain) {
  static const std::string_view kCategories =
      " l lu ll lt lm lo m mn mc me n nd nl no p pc pd ps pe pi pf po s sm sc sk so z zs zl zp "
      "c cc cf cn co ";
  return plain.size() <= 2 && kCategories.find(" " + plain + " ") != std::string_view::npos;
}

// The characters of a script; nothing for a name that is none. New scripts are additions only.
std::string script_items(const std::string& name, const std::string& plain) {
  const std::string added =
      additions([&](const AddedRange& range) { return plain_name(range.script) == plain; });
  return (compiles("\\p{sc:" + name + "}") ? "\\p{sc:" + name + "}" : "") + added;
}

}  // namespace

// `\p{name}` as bracket items. PCRE2 reads a script's name as its extensions, so sc: is written.
std::string property_items(const std::string& name) {
  std::string plain = short_name(plain_name(name));
  if (plain == "lc") return category_items("Lu") + category_items("Ll") + category_items("Lt");
  if (is_category(plain)) {
    plain[0] = static_cast<char>(plain[0] - 32);
    return plain[0] == 'C' ? "\\p{" + plain + "}" : category_items(plain);
  }
  if (auto items = named_items(plain)) return *items;
  const std::string script = script_items(name, plain);
  return script.empty() ? "\\p{" + name + "}" : script;
}

std::string set_pattern(const CharSet& set) {
  if (set.others.empty()) return "[" + set.items + "]";
  std::string out = "(?:";
  if (!set.items.empty()) out += "[" + set.items + "]|";
  for (size_t i = 0; i < set.others.size(); ++i) out += (i ? "|" : "") + set.others[i];
  return out + ")";
}

// All operands of && as one pattern of one character.
std::string class_pattern(const std::vector<CharSet>& operands, bool negated) {
  if (operands.size() == 1 && operands[0].others.empty())
    return (negated ? "[^" : "[") + operands[0].items + "]";
  std::string out;
  for (size_t i = 0; i + 1 < operands.size(); ++i) out += "(?=" + set_pattern(operands[i]) + ")";
  out += set_pattern(operands.back());
  return negated ? "(?:(?!" + out + ")(?s:.))" : "(?:" + out + ")";
}

std::string added_items() {
  return additions([](const AddedRange&) { return true; });
}

}  // namespace gradus
