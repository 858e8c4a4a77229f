// SPDX-License-Identifier: Apache-2.0
#include "serve/http/request_id.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <random>

namespace gradus {

std::string new_request_id() {
  static thread_local std::random_device device;
  std::string id;
  for (int i = 0; i < 4; ++i) {
    std::array<char, 9> part{};
    std::snprintf(part.data(), part.size(), "%08x", static_cast<unsigned>(device()));
    id += part.data();
  }
  return id;
}

std::string request_id(std::string_view given, const std::string& fallback) {
  const bool plain =
      !given.empty() && given.size() <= 64 && std::all_of(given.begin(), given.end(), [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               c == '-' || c == '_' || c == '.';
      });
  return plain ? std::string(given) : fallback;
}

}  // namespace gradus
