// SPDX-License-Identifier: Apache-2.0
#include "serve/api_keys.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <sstream>

#include "base/error.h"
#include "serve/http/message.h"

namespace gradus {
namespace {

constexpr size_t kMinKeyBytes = 8;
constexpr std::string_view kScheme = "Bearer ";

std::array<unsigned char, 32> digest(std::string_view key) {
  std::array<unsigned char, 32> out{};
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), out.data());
  return out;
}

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") + 1 - first);
}

}  // namespace

void ApiKeys::add(std::string_view key) { digests_.push_back(digest(key)); }

void ApiKeys::add_file(const fs::path& file) {
  std::istringstream lines(read_file(file));
  std::string line;
  const size_t before = digests_.size();
  for (int number = 1; std::getline(lines, line); ++number) {
    const std::string_view key = trimmed(std::string_view(line).substr(0, line.find('#')));
    if (key.empty()) continue;
    if (key.size() < kMinKeyBytes)
      throw Error({.what = cat("API key is shorter than ", kMinKeyBytes, " characters"),
                   .where = cat(file.string(), ":", number)});
    add(key);
  }
  if (digests_.size() == before)
    throw Error({.what = "file holds no API keys", .where = file.string()});
}

// Digests are compared, all of them, so that the time tells nothing about a key.
bool ApiKeys::accepts(std::string_view key) const {
  const auto given = digest(key);
  int matches = 0;
  for (const auto& known : digests_)
    matches += CRYPTO_memcmp(known.data(), given.data(), given.size()) == 0 ? 1 : 0;
  return matches > 0;
}

bool ApiKeys::accepts_header(std::string_view authorization) const {
  if (authorization.size() <= kScheme.size()) return false;
  if (!equal_ignoring_case(authorization.substr(0, kScheme.size()), kScheme)) return false;
  return accepts(trimmed(authorization.substr(kScheme.size())));
}

}  // namespace gradus
