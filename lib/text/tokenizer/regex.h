// SPDX-License-Identifier: Apache-2.0
// Regular expressions of tokenizer.json files on PCRE2 with its just-in-time compiler. Thread-safe
// after construction.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "text/unicode.h"

namespace gradus {

class Regex {
 public:
  // `pattern` is in Oniguruma's syntax; throws gradus::Error naming `where` and the reason.
  Regex(const std::string& pattern, const std::string& where);

  // The first match at or after `from`: [begin, end). `text` is valid UTF-8. Throws gradus::Error
  // when the search takes more steps than any sensible pattern needs.
  std::optional<std::pair<size_t, size_t>> find(std::string_view text, size_t from) const;

  // Calls visit(begin, end) for all matches in order, as Oniguruma's find_iter does: an empty match
  // right after another match is left out.
  template <class Visit>
  void for_each(std::string_view text, Visit&& visit) const;

 private:
  std::shared_ptr<void> code_;
  bool compiled_ = false;  // to machine code
  std::string where_;
};

template <class Visit>
void Regex::for_each(std::string_view text, Visit&& visit) const {
  std::optional<size_t> last;
  for (size_t from = 0; from <= text.size();) {
    const auto match = find(text, from);
    if (!match) return;
    const auto [begin, end] = *match;
    if (begin == end && last == end) {
      from += from < text.size() ? decode_utf8(text, from).bytes : 1;
      continue;
    }
    from = end;
    last = end;
    visit(begin, end);
  }
}

}  // namespace gradus
