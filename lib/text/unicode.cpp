// SPDX-License-Identifier: Apache-2.0
#include "text/unicode.h"

#include <unicode/locid.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>
#include <unicode/ustring.h>

#include <cstring>
#include <stdexcept>

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
  return c < inert_below(form) || icu.hasBoundaryBefore(static_cast<UChar32>(c));
}

// The end of the plain code points from `at`, without the last one when it may combine with what
// follows it.
size_t plain_run(const icu::Normalizer2& icu, NormalForm form, std::string_view text, size_t at) {
  size_t last = at, end = at;
  while (end < text.size()) {
    const CodePoint c = decode_utf8(text, end);
    if (!is_plain(icu, form, c.value)) return has_boundary_before(icu, form, c.value) ? end : last;
    last = end;
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
  return (U_GET_GC_MASK(static_cast<UChar32>(c)) & U_GC_N_MASK) != 0;
}

bool is_word(char32_t c) {
  constexpr uint32_t kMask = U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK;
  return (U_GET_GC_MASK(static_cast<UChar32>(c)) & kMask) != 0 || c == 0x200C || c == 0x200D ||
         u_hasBinaryProperty(static_cast<UChar32>(c), UCHAR_ALPHABETIC);
}

bool is_punctuation(char32_t c) {
  if (c < 0x80)
    return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) ||
           (c >= 123 && c <= 126);
  return (U_GET_GC_MASK(static_cast<UChar32>(c)) & U_GC_P_MASK) != 0;
}

bool is_combining_mark(char32_t c) {
  return c >= 0x300 && (U_GET_GC_MASK(static_cast<UChar32>(c)) & U_GC_M_MASK) != 0;
}

bool is_nonspacing_mark(char32_t c) {
  return c >= 0x300 && (U_GET_GC_MASK(static_cast<UChar32>(c)) & U_GC_MN_MASK) != 0;
}

bool is_control_or_unassigned(char32_t c) {
  return (U_GET_GC_MASK(static_cast<UChar32>(c)) & U_GC_C_MASK) != 0;
}

void append_lower(std::string& out, char32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    return;
  }
  icu::UnicodeString text(static_cast<UChar32>(c));
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
