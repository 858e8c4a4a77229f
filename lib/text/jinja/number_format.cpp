// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>

#include "text/jinja/format.h"
#include "text/jinja/print.h"

namespace gradus::jinja {
namespace {

constexpr int kMaxPrecision = 300;

std::string digits_of(Int value, int base) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  do {
    const int digit = static_cast<int>(value % base);
    out += kDigits[digit < 0 ? -digit : digit];
    value /= base;
  } while (value != 0);
  std::reverse(out.begin(), out.end());
  return out;
}

std::string sign_text(bool negative, char sign) {
  if (negative) return "-";
  return sign == '-' ? "" : std::string(1, sign);
}

std::string upper_case(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

}  // namespace

std::string format_int(Int value, const NumberFormat& format) {
  const char type = format.type;
  const int base = type == 'b' ? 2 : type == 'o' ? 8 : type == 'x' || type == 'X' ? 16 : 10;
  std::string digits = digits_of(value, base);
  const auto wanted = static_cast<size_t>(std::clamp(format.precision, 0, kMaxPrecision));
  if (digits.size() < wanted) digits.insert(0, wanted - digits.size(), '0');
  if (format.alternate && base != 10) {
    digits = std::string("0") + static_cast<char>(std::tolower(type)) + digits;
  }
  if (type == 'X') digits = upper_case(digits);
  return sign_text(value < 0, format.sign) + digits;
}

std::string format_float(double value, const NumberFormat& format) {
  const bool percent = format.type == '%';
  const char type = percent ? 'f' : format.type;
  const std::string sign = sign_text(std::signbit(value) && !std::isnan(value), format.sign);
  if (percent) value *= 100;
  if (!std::isfinite(value)) {
    const std::string name = std::isnan(value) ? "nan" : "inf";
    return sign + (std::isupper(type) != 0 ? upper_case(name) : name) + (percent ? "%" : "");
  }
  const int precision = format.precision < 0 ? 6 : std::min(format.precision, kMaxPrecision);
  const char pattern[] = {'%', '#', '.', '*', type, '\0'};
  std::string plain(pattern);
  if (!format.alternate) plain.erase(1, 1);
  char buffer[1024];
  const int size = std::snprintf(buffer, sizeof buffer, plain.c_str(), precision, std::abs(value));
  return sign + std::string(buffer, static_cast<size_t>(size)) + (percent ? "%" : "");
}

}  // namespace gradus::jinja
