// SPDX-License-Identifier: Apache-2.0
#include "text/unicode.h"

#include <unicode/locid.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>
#include <unicode/ustring.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <stdexcept>

#include "text/unicode_additions.h"

namespace gradus {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// How one step of UTF-8 decoding ended: a character of `bytes`, or an ill-formed part of `bytes`
// that is `cut` when only the end of the text stops it.
struct Step {
  uint32_t bytes = 1;
  bool valid = false;
  bool cut = false;
};

// The bounds of the second byte exclude overlong forms, surrogates and values above U+10FFFF.
Step utf8_step(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {1, true, false};
  if (lead < 0xC2 || lead > 0xF4) return {1, false, false};
  const uint32_t need = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  unsigned char low = 0x80, high = 0xBF;
  if (lead == 0xE0) low = 0xA0;
  if (lead == 0xED) high = 0x9F;
  if (lead == 0xF0) low = 0x90;
  if (lead == 0xF4) high = 0x8F;
  for (uint32_t i = 1; i < need; ++i) {
    if (at + i >= text.size()) return {i, false, true};
    if (byte(i) < low || byte(i) > high) return {i, false, false};
    low = 0x80, high = 0xBF;
  }
  return {need, true, false};
}

size_t skip_ascii(std::string_view text, size_t at) {
  while (at + 8 <= text.size()) {
    uint64_t word;
    std::memcpy(&word, text.data() + at, 8);
    if (word & 0x8080808080808080ull) break;
    at += 8;
  }
  while (at < text.size() && static_cast<signed char>(text[at]) >= 0) ++at;
  return at;
}

const icu::Normalizer2& normalizer(NormalForm form) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* found = nullptr;
  if (form == NormalForm::kNfc) found = icu::Normalizer2::getNFCInstance(status);
  if (form == NormalForm::kNfd) found = icu::Normalizer2::getNFDInstance(status);
  if (form == NormalForm::kNfkc) found = icu::Normalizer2::getNFKCInstance(status);
  if (form == NormalForm::kNfkd) found = icu::Normalizer2::getNFKDInstance(status);
  if (U_FAILURE(status)) throw std::runtime_error("ICU has no normalisation data");
  return *found;
}

// The crates behind `tokenizers` carry their own, older tables: unicode-normalization-alignments
// that of Unicode 9, unicode_categories that of Unicode 8.
constexpr int kNormalizationVersion = 9, kCategoriesVersion = 8;

bool is_known(char32_t c, int version) { return c < 0x300 || assigned_by(c, version); }

// The common ideographs: their own normal form in every form, and boundaries.
bool is_plain_han(char32_t c) { return c >= 0x4E00 && c <= 0x9FA5; }

bool in_categories(char32_t c, uint32_t mask) {
  return (U_GET_GC_MASK(static_cast<UChar32>(c)) & mask) != 0;
}

const AddedRange* find_addition(char32_t c) {
  const auto range =
      std::upper_bound(std::begin(kUnicodeAdditions), std::end(kUnicodeAdditions), c,
                       [](char32_t value, const AddedRange& r) { return value < r.first; });
  if (range == std::begin(kUnicodeAdditions) || std::prev(range)->last < c) return nullptr;
  return std::prev(range);
}

// Lower case that Unicode 16 and 17 added: code points first, first + step, … to last are mapped
// by adding `difference`.
struct AddedLower {
  char32_t first, last, step;
  int difference;
};
constexpr AddedLower kAddedLower[] = {
    {0x1C89, 0x1C89, 1, 1},      {0xA7CB, 0xA7CB, 1, 0x264 - 0xA7CB},
    {0xA7CC, 0xA7CE, 2, 1},      {0xA7D2, 0xA7D4, 2, 1},
    {0xA7DA, 0xA7DA, 1, 1},      {0xA7DC, 0xA7DC, 1, 0x19B - 0xA7DC},
    {0x10D50, 0x10D65, 1, 0x20}, {0x16EA0, 0x16EB8, 1, 0x1B},
};

char32_t added_lower(char32_t c) {
  for (const AddedLower& range : kAddedLower) {
    if (c >= range.first && c <= range.last && (c - range.first) % range.step == 0)
      return static_cast<char32_t>(static_cast<int>(c) + range.difference);
  }
  return c;
}

// Below these, a code point is its own normal form and a boundary of normalisation.
char32_t inert_below(NormalForm form) {
  if (form == NormalForm::kNfc) return 0x300;
  return form == NormalForm::kNfd ? 0xC0 : 0xA0;
}

// Such a code point is its own normal form, whatever precedes it.
bool is_plain(const icu::Normalizer2& icu, NormalForm form, char32_t c) {
  return c < inert_below(form) || icu.isInert(static_cast<UChar32>(c));
}

bool has_boundary_before(const icu::Normalizer2& icu, NormalForm form, char32_t c) {
  return c < inert_below(form) || !is_known(c, kNormalizationVersion) ||
         icu.hasBoundaryBefore(static_cast<UChar32>(c));
}

// The end of the plain code points from `at`, without the last one when it may combine with what
// follows it.
size_t plain_run(const icu::Normalizer2& icu, NormalForm form, std::string_view text, size_t at) {
  size_t last = at, end = at;
  while (end < text.size()) {
    const CodePoint c = decode_utf8(text, end);
    const bool known = is_plain_han(c.value) || is_known(c.value, kNormalizationVersion);
    if (known && !is_plain_han(c.value) && !is_plain(icu, form, c.value))
      return has_boundary_before(icu, form, c.value) ? end : last;
    last = known ? end : end + c.bytes;  // what is not known combines with nothing
    end += c.bytes;
  }
  return end;
}

std::string normal_form(const icu::Normalizer2& icu, std::string_view text) {
  std::string normal;
  icu::StringByteSink<std::string> sink(&normal);
  UErrorCode status = U_ZERO_ERROR;
  icu.normalizeUTF8(0, icu::StringPiece(text.data(), static_cast<int32_t>(text.size())), sink,
                    nullptr, status);
  if (U_FAILURE(status)) throw std::runtime_error("ICU cannot normalise");
  return normal;
}

}  // namespace

CodePoint decode_utf8(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<char32_t>(text[at + i] & 0x3F); };
  const auto lead = static_cast<unsigned char>(text[at]);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xE0) return {(lead & 0x1Fu) << 6 | byte(1), 2};
  if (lead < 0xF0) return {(lead & 0x0Fu) << 12 | byte(1) << 6 | byte(2), 3};
  return {(lead & 0x07u) << 18 | byte(1) << 12 | byte(2) << 6 | byte(3), 4};
}

CodePoint decode_utf8_before(std::string_view text, size_t end) {
  size_t at = end - 1;
  while (at > 0 && (text[at] & 0xC0) == 0x80) --at;
  return decode_utf8(text, at);
}

void append_utf8(std::string& out, char32_t value) {
  if (value < 0x80) {
    out += static_cast<char>(value);
  } else if (value < 0x800) {
    out += static_cast<char>(0xC0 | value >> 6);
    out += static_cast<char>(0x80 | (value & 0x3F));
  } else if (value < 0x10000) {
    out += static_cast<char>(0xE0 | value >> 12);
    out += static_cast<char>(0x80 | (value >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (value & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | value >> 18);
    out += static_cast<char>(0x80 | (value >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (value >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (value & 0x3F));
  }
}

size_t count_code_points(std::string_view text) {
  size_t count = 0;
  for (const char c : text) count += (c & 0xC0) != 0x80;
  return count;
}

std::optional<size_t> find_invalid_utf8(std::string_view text) {
  for (size_t at = 0;;) {
    at = skip_ascii(text, at);
    if (at >= text.size()) return std::nullopt;
    const Step step = utf8_step(text, at);
    if (!step.valid) return at;
    at += step.bytes;
  }
}

std::string utf8_lossy(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (size_t at = 0; at < bytes.size();) {
    const Step step = utf8_step(bytes, at);
    out += step.valid ? bytes.substr(at, step.bytes) : kReplacement;
    at += step.bytes;
  }
  return out;
}

size_t unfinished_utf8(std::string_view bytes) {
  for (size_t back = 1; back <= 3 && back <= bytes.size(); ++back) {
    const size_t at = bytes.size() - back;
    if ((bytes[at] & 0xC0) == 0x80) continue;
    const Step step = utf8_step(bytes, at);
    return step.cut && step.bytes == back ? back : 0;
  }
  return 0;
}

bool is_white_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= '\t' && c <= '\r');
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_numeric(char32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  if (in_categories(c, U_GC_N_MASK)) return true;
  if ((c >= 0x11DE0 && c <= 0x11DE9) || (c >= 0x16FF4 && c <= 0x16FF6)) return true;  // Unicode 17
  const AddedRange* added = find_addition(c);
  return added && added->category[0] == 'N';
}

bool is_word(char32_t c) {
  if (in_categories(c, U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK) || c == 0x200C || c == 0x200D ||
      u_hasBinaryProperty(static_cast<UChar32>(c), UCHAR_ALPHABETIC))
    return true;
  const AddedRange* added = find_addition(c);
  return added && (added->alphabetic || added->category[0] == 'M' || added->category[0] == 'N');
}

bool is_punctuation(char32_t c) {
  if (c < 0x80)
    return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) ||
           (c >= 123 && c <= 126);
  if (c == 0x166D || c == 0x111C9) return true;  // of another category since Unicode 11 and 12
  return in_categories(c, U_GC_P_MASK) && is_known(c, kCategoriesVersion);
}

bool is_combining_mark(char32_t c) {
  if (c < 0x300 || c == 0x111C9) return false;
  if (c == 0x1CF2 || c == 0x1CF3) return true;
  return in_categories(c, U_GC_M_MASK) && is_known(c, kNormalizationVersion);
}

bool is_nonspacing_mark(char32_t c) {
  if (c < 0x300 || c == 0x111C9 || c == 0x1885 || c == 0x1886 || c == 0xA9BD) return false;
  if (c == 0x1734) return true;
  return in_categories(c, U_GC_MN_MASK) && is_known(c, kCategoriesVersion);
}

bool is_control(char32_t c) {
  return in_categories(c, U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CO_MASK) &&
         is_known(c, kCategoriesVersion);
}

bool assigned_by(char32_t c, int version) {
  UVersionInfo age;
  u_charAge(static_cast<UChar32>(c), age);
  return age[0] > 0 && age[0] <= version;
}

void append_lower(std::string& out, char32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    return;
  }
  icu::UnicodeString text(static_cast<UChar32>(added_lower(c)));
  text.toLower(icu::Locale::getRoot());
  text.toUTF8String(out);
}

namespace detail {

size_t next_normal_part(std::string_view text, size_t at, NormalForm form,
                        std::optional<std::string>& changed) {
  changed.reset();
  const icu::Normalizer2& icu = normalizer(form);
  size_t end = plain_run(icu, form, text, at);
  if (end > at) return end;
  for (end += decode_utf8(text, end).bytes; end < text.size();) {
    const CodePoint c = decode_utf8(text, end);
    if (has_boundary_before(icu, form, c.value)) break;
    end += c.bytes;
  }
  std::string normal = normal_form(icu, text.substr(at, end - at));
  if (normal != text.substr(at, end - at)) changed = std::move(normal);
  return end;
}

}  // namespace detail
}  // namespace gradus
