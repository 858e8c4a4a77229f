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

std::string printable(std::string_view text, size_t limit) {
  std::string out;
  for (const char c : text.substr(0, limit)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) {
      out += c;
      continue;
    }
    char escaped[5];
    std::snprintf(escaped, sizeof escaped, "\\x%02x", byte);
    out += escaped;
  }
  if (text.size() > limit) out += "…";
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
