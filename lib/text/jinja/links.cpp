// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/links.h"

#include <algorithm>
#include <array>
#include <optional>

#include "text/jinja/operations.h"
#include "text/jinja/python_str.h"
#include "text/jinja/text_functions.h"

namespace gradus::jinja {
namespace {

constexpr size_t kNone = std::u32string_view::npos;
using Letters = std::u32string_view;

// Lower case as re.IGNORECASE compares ASCII letters: four others stand for them too.
char32_t folded(char32_t c) {
  if (c >= 'A' && c <= 'Z') return static_cast<char32_t>(c + 32);
  if (c == 0x130 || c == 0x131) return U'i';
  if (c == 0x17F) return U's';
  return c == 0x212A ? U'k' : c;
}

bool begins(Letters text, Letters lower) {
  return text.size() >= lower.size() &&
         std::equal(lower.begin(), lower.end(), text.begin(),
                    [](char32_t want, char32_t c) { return folded(c) == want; });
}

template <class Belongs>
size_t run(Letters text, size_t i, Belongs belongs) {
  while (i < text.size() && belongs(text[i])) ++i;
  return i;
}

template <class Belongs>
bool all(Letters text, Belongs belongs) {
  return run(text, 0, belongs) == text.size();
}

bool is_label(char32_t c) { return is_word_character(c) || c == '%' || c == '-'; }
bool is_host(char32_t c) { return is_label(c) || c == '.'; }
bool is_hex(char32_t c) { return is_decimal(c) || (folded(c) >= 'a' && folded(c) <= 'f'); }

// What may follow a host: a port, then a path, query or fragment.
bool ends_address(Letters rest) {
  if (!rest.empty() && rest[0] == ':') {
    const size_t digits = run(rest, 1, is_decimal) - 1;
    if (digits < 1 || digits > 5) return false;
    rest.remove_prefix(1 + digits);
  }
  return rest.empty() || rest[0] == '/' || rest[0] == '?' || rest[0] == '#';
}

// Whether every dotted label in front of `end` (just behind a dot, or 0) has a length in range.
bool labels_fit(Letters host, size_t end, size_t least, size_t most) {
  size_t begin = 0;
  for (size_t i = 0; i < end; ++i) {
    if (host[i] != '.') continue;
    if (i - begin < least || i - begin > most) return false;
    begin = i + 1;
  }
  return true;
}

size_t last_label(Letters host) {
  const size_t dot = host.rfind(U'.');
  return dot == kNone ? 0 : dot + 1;
}

// A host behind http:// or www.: any labels, then letters or an IDNA label.
bool is_named_host(Letters text) {
  const size_t end = run(text, 0, is_host);
  const Letters host = text.substr(0, end);
  const size_t top = last_label(host);
  if (!ends_address(text.substr(end)) || !labels_fit(host, top, 1, kNone)) return false;
  const Letters domain = host.substr(top);
  const auto letter = [](char32_t c) { return folded(c) >= 'a' && folded(c) <= 'z'; };
  if (domain.size() >= 2 && domain.size() <= 63 && all(domain, letter)) return true;
  return begins(domain, U"xn--") && domain.size() >= 6 && domain.size() <= 63 &&
         all(domain.substr(4), [](char32_t c) { return is_word_character(c) || c == '%'; });
}

// A host without a scheme: its top level domain is a well-known one.
bool is_bare_host(Letters text) {
  static constexpr std::array<Letters, 8> kDomains = {U"com", U"net", U"int",  U"edu",
                                                      U"gov", U"org", U"info", U"mil"};
  const size_t end = run(text, 0, is_host);
  const Letters host = text.substr(0, end);
  const size_t top = last_label(host);
  if (top == 0 || !ends_address(text.substr(end)) || !labels_fit(host, top, 2, 63)) return false;
  const Letters domain = host.substr(top);
  return std::any_of(kDomains.begin(), kDomains.end(), [&](Letters known) {
    return domain.size() == known.size() && begins(domain, known);
  });
}

bool is_ipv4(Letters text) {
  for (int group = 0; group < 4; ++group) {
    if (group > 0) {
      if (text.empty() || text[0] != '.') return false;
      text.remove_prefix(1);
    }
    const size_t digits = run(text, 0, is_decimal);
    if (digits < 1 || digits > 3) return false;
    text.remove_prefix(digits);
  }
  return ends_address(text);
}

// Up to four digits; false when no colon follows them.
bool take_group(Letters& text) {
  const size_t digits = std::min<size_t>(run(text, 0, is_hex), 4);
  const bool colon = digits < text.size() && text[digits] == ':';
  text.remove_prefix(digits + (colon ? 1 : 0));
  return colon;
}

bool is_ipv6(Letters text) {
  if (text.empty() || text[0] != '[') return false;
  text.remove_prefix(1);
  if (!take_group(text) || !take_group(text)) return false;
  for (int group = 0; group < 6; ++group) take_group(text);
  return !text.empty() && text[0] == ']' && ends_address(text.substr(1));
}

bool is_web_address(Letters text) {
  for (const Letters scheme : {Letters(U"http://"), Letters(U"https://")}) {
    if (!begins(text, scheme)) continue;
    const Letters rest = text.substr(scheme.size());
    return is_named_host(rest) || is_ipv4(rest) || is_ipv6(rest);
  }
  return (begins(text, U"www.") && is_named_host(text.substr(4))) || is_bare_host(text);
}

bool is_mail_address(Letters text) {
  const size_t at = text.rfind(U'@');
  if (at == kNone || at == 0) return false;
  const Letters host = text.substr(at + 1);
  const size_t top = last_label(host);
  return top >= 2 && top < host.size() && is_word_character(host[0]) &&
         all(host.substr(0, top),
             [](char32_t c) { return is_word_character(c) || c == '.' || c == '-'; }) &&
         all(host.substr(top), is_word_character);
}

struct Range {
  size_t begin, end;
};

bool ends_with(std::string_view text, Range range, std::string_view ending) {
  return text.substr(range.begin, range.end - range.begin).ends_with(ending);
}

size_t count(std::string_view text, std::string_view wanted) {
  size_t found = 0;
  for (size_t at = text.find(wanted); at != std::string_view::npos;
       at = text.find(wanted, at + wanted.size())) {
    ++found;
  }
  return found;
}

// The word without brackets in front of it and punctuation behind it; brackets behind it that
// belong to ones inside stay.
Range address_in(std::string_view text, Range word) {
  Range inner = word;
  const auto rest = [&] { return text.substr(inner.begin, inner.end - inner.begin); };
  while (rest().starts_with('(') || rest().starts_with('<') || rest().starts_with("&lt;")) {
    inner.begin += text[inner.begin] == '&' ? 4 : 1;
  }
  while (inner.end > inner.begin) {
    const bool single =
        std::string_view(")>.,").find(text[inner.end - 1]) != std::string_view::npos;
    if (!single && !ends_with(text, inner, "&gt;")) break;
    inner.end -= single ? 1 : 4;
  }
  static constexpr std::pair<std::string_view, std::string_view> kBrackets[] = {
      {"(", ")"}, {"<", ">"}, {"&lt;", "&gt;"}};
  for (const auto& [open, close] : kBrackets) {
    const size_t opened = count(rest(), open);
    if (opened <= count(rest(), close)) continue;
    size_t moves = std::min(opened, count(text.substr(inner.end, word.end - inner.end), close));
    for (; moves > 0; --moves) inner.end = text.find(close, inner.end) + close.size();
  }
  return inner;
}

class Linker {
 public:
  Linker(const Text& text, const LinkStyle& style) : text_(text), style_(style) {}

  Text run() {
    spend_bytes(text_.bytes.size() * 16);
    size_t begin = 0;
    while (begin < text_.bytes.size()) {
      const Range word{skip(begin, true), skip(skip(begin, true), false)};
      out_.append(text_, begin, word.begin);
      add_word(word);
      begin = word.end;
    }
    return std::move(out_);
  }

 private:
  size_t skip(size_t i, bool space) const {
    while (i < text_.bytes.size()) {
      size_t next = i;
      if (is_space(next_code_point(text_.bytes, next)) != space) break;
      i = next;
    }
    return i;
  }

  void add_word(Range word) {
    const Range inner = address_in(text_.bytes, word);
    out_.append(text_, word.begin, inner.begin);
    add_address(inner);
    out_.append(text_, inner.end, word.end);
  }

  void add_address(Range inner) {
    const Text address = text_.slice(inner.begin, inner.end);
    const std::string& bytes = address.bytes;
    const std::u32string letters = to_code_points(bytes);
    const bool mail = letters.find(U'@') != std::u32string::npos;
    if (is_web_address(letters)) {
      const bool complete = bytes.starts_with("https://") || bytes.starts_with("http://");
      add_link(complete ? "" : "https://", address, style_.attributes, shortened(address));
    } else if (bytes.starts_with("mailto:") && is_mail_address(Letters(letters).substr(7))) {
      add_link("", address, {}, address.slice(7, bytes.size()));
    } else if (mail && !bytes.starts_with("www.") && !bytes.starts_with('@') &&
               bytes.find(':') == std::string::npos && is_mail_address(letters)) {
      add_link("mailto:", address, {}, address);
    } else if (std::any_of(style_.schemes.begin(), style_.schemes.end(), [&](const auto& scheme) {
                 spend_bytes(scheme.size());
                 return bytes != scheme && bytes.starts_with(scheme);
               })) {
      add_link("", address, style_.attributes, address);
    } else {
      out_.append(address);
    }
  }

  // x[:limit] and an ellipsis, for addresses that are longer.
  Text shortened(const Text& address) const {
    if (style_.shown.missing()) return address;
    const auto size = static_cast<Int>(count_code_points(address.bytes));
    if (!less(style_.shown, Value::integer(size))) return address;
    Text out = slice(Value::string(address), Value(), style_.shown, Value()).text();
    out.append("...");
    return out;
  }

  void add_link(const char* scheme, const Text& target, const Text& attributes, const Text& shown) {
    out_.append("<a href=\"");
    out_.append(scheme);
    out_.append(target);
    out_.append("\"");
    out_.append(attributes);
    out_.append(">");
    out_.append(shown);
    out_.append("</a>");
  }

  const Text& text_;
  const LinkStyle& style_;
  Text out_;
};

}  // namespace

Text with_links(const Text& text, const LinkStyle& style) { return Linker(text, style).run(); }

}  // namespace gradus::jinja
