// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/piece_borders.h"

#include <algorithm>

#include "text/unicode_classes.h"

namespace gradus {

// Two characters come side by side inside a token by the merge that joins the parts they end and
// begin.
PieceBorders::PieceBorders(const MergeTable& merges,
                           const std::function<std::string_view(TokenId)>& token_text) {
  std::vector<std::pair<char32_t, char32_t>> pairs;
  merges.for_each([&](TokenId left, TokenId right, Merge) {
    const std::string_view before = token_text(left), after = token_text(right);
    if (before.empty() || after.empty()) return;
    pairs.emplace_back(decode_utf8_before(before, before.size()).value,
                       decode_utf8(after, 0).value);
  });
  std::sort(pairs.begin(), pairs.end());
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
  neighbours_.reserve(pairs.size());
  for (const auto& [before, after] : pairs) {
    neighbours_.add(before, after, 0);
    if (before < kAscii && after < kAscii) ascii_.set(before * kAscii + after);
  }
}

void PieceBorders::cut(std::string_view text, std::vector<uint32_t>& ends) const {
  const auto read = [&](size_t at) {
    const auto lead = static_cast<unsigned char>(text[at]);
    return lead < 0x80 ? CodePoint{lead, 1} : decode_inline(text, at);
  };
  CodePoint before = read(0);
  for (size_t at = before.bytes; at < text.size();) {
    const CodePoint c = read(at);
    if (!joined(before.value, c.value)) ends.push_back(static_cast<uint32_t>(at));
    at += c.bytes;
    before = c;
  }
  ends.push_back(static_cast<uint32_t>(text.size()));
}

}  // namespace gradus
