// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/precompiled.h"

#include <unicode/uchar.h>

#include <cstring>

#include "base/error.h"
#include "text/unicode.h"

namespace gradus {
namespace {

int break_class(char32_t c) {
  return u_getIntPropertyValue(static_cast<UChar32>(c), UCHAR_GRAPHEME_CLUSTER_BREAK);
}

bool is_control_class(int c) { return c == U_GCB_CONTROL || c == U_GCB_CR || c == U_GCB_LF; }

bool is_pictographic(char32_t c) {
  return u_hasBinaryProperty(static_cast<UChar32>(c), UCHAR_EXTENDED_PICTOGRAPHIC);
}

// Rules GB3 to GB9b, which look at two neighbours only.
bool joins(int a, int b) {
  if (a == U_GCB_CR && b == U_GCB_LF) return true;
  if (is_control_class(a) || is_control_class(b)) return false;
  if (a == U_GCB_L && (b == U_GCB_L || b == U_GCB_V || b == U_GCB_LV || b == U_GCB_LVT))
    return true;
  if ((a == U_GCB_LV || a == U_GCB_V) && (b == U_GCB_V || b == U_GCB_T)) return true;
  if ((a == U_GCB_LVT || a == U_GCB_T) && b == U_GCB_T) return true;
  return b == U_GCB_EXTEND || b == U_GCB_ZWJ || b == U_GCB_SPACING_MARK || a == U_GCB_PREPEND;
}

}  // namespace

size_t grapheme_end(std::string_view text, size_t at) {
  CodePoint c = decode_utf8(text, at);
  int before = break_class(c.value), flags = before == U_GCB_REGIONAL_INDICATOR ? 1 : 0;
  bool pictograph = is_pictographic(c.value), pictograph_zwj = false;
  for (at += c.bytes; at < text.size(); at += c.bytes) {
    c = decode_utf8(text, at);
    const int next = break_class(c.value);
    const bool picture = is_pictographic(c.value);
    const bool flag =
        before == U_GCB_REGIONAL_INDICATOR && next == before && flags % 2 == 1;  // GB12
    if (!joins(before, next) && !(pictograph_zwj && picture) && !flag) break;
    pictograph_zwj = pictograph && next == U_GCB_ZWJ;  // GB11
    pictograph = picture || (pictograph && next == U_GCB_EXTEND);
    flags = next == U_GCB_REGIONAL_INDICATOR ? flags + 1 : 0;
    before = next;
  }
  return at;
}

CharacterMap::CharacterMap(std::string_view blob, const std::string& where) {
  uint32_t bytes = 0;
  if (blob.size() >= sizeof bytes) std::memcpy(&bytes, blob.data(), sizeof bytes);
  if (bytes == 0 || bytes % 4 != 0 || bytes > blob.size() - sizeof bytes)
    throw Error({.what = "character map is broken",
                 .where = where,
                 .expected = "the size of a trie that is a multiple of 4, and the trie"});
  units_.resize(bytes / 4);
  std::memcpy(units_.data(), blob.data() + sizeof bytes, bytes);
  texts_ = blob.substr(sizeof bytes + bytes);
  if (const auto bad = find_invalid_utf8(texts_))
    throw Error({.what = "texts of the character map are not valid UTF-8",
                 .where = cat(where, ", byte ", *bad)});
}

std::optional<std::string_view> CharacterMap::find(std::string_view text) const {
  const auto offset = [](uint32_t unit) { return (unit >> 10) << ((unit & (1u << 9)) >> 6); };
  size_t node = offset(unit(0));
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte == 0) return std::nullopt;
    node ^= byte;
    const uint32_t found = unit(node);
    if ((found & ((1u << 31) | 0xFF)) != byte) return std::nullopt;
    node ^= offset(found);
    if ((found >> 8 & 1) == 0) continue;
    const size_t at = unit(node) & 0x7FFFFFFF;
    if (at >= texts_.size()) return std::string_view();
    return std::string_view(texts_).substr(at, texts_.find('\0', at) - at);
  }
  return std::nullopt;
}

}  // namespace gradus
