// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <vector>

namespace gradus {
namespace {

std::string one_line(const ErrorParts& parts) {
  std::string line = parts.where.empty() ? parts.what : parts.where + ": " + parts.what;
  if (!parts.expected.empty() && !parts.found.empty()) {
    line += " (expected " + parts.expected + ", found " + parts.found + ")";
  } else if (!parts.expected.empty()) {
    line += " (expected " + parts.expected + ")";
  } else if (!parts.found.empty()) {
    line += " (found " + parts.found + ")";
  }
  if (!parts.hint.empty()) line += "; hint: " + parts.hint;
  return line;
}

}  // namespace

Error::Error(ErrorParts parts, ExitCode code)
    : std::runtime_error(one_line(parts)), parts_(std::move(parts)), code_(code) {}

namespace {

// Bytes of the printable character that `text` starts with, in well-formed UTF-8 (RFC 3629); 0 for
// a control character or a broken sequence.
size_t character_bytes(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return first >= 0x20 && first != 0x7f ? 1 : 0;
  const size_t count = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < count) return 0;
  for (size_t i = 1; i < count; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const unsigned char second = byte(1);
  const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool surrogate = first == 0xed && second >= 0xa0;
  const bool control = first == 0xc2 && second < 0xa0;
  return overlong || surrogate || control || (first == 0xf4 && second >= 0x90) ? 0 : count;
}

}  // namespace

std::string printable(std::string_view text, size_t limit) {
  std::string out;
  size_t at = 0;
  while (at < text.size()) {
    const size_t count = character_bytes(text.substr(at));
    if (at + std::max<size_t>(count, 1) > limit) break;
    if (count > 0) {
      out += text.substr(at, count);
    } else {
      char escaped[5];
      std::snprintf(escaped, sizeof escaped, "\\x%02x", static_cast<unsigned char>(text[at]));
      out += escaped;
    }
    at += std::max<size_t>(count, 1);
  }
  if (at < text.size()) out += "…";
  return out;
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substituted = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row[b.size()];
}

}  // namespace gradus
