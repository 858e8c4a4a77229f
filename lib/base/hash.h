// SPDX-License-Identifier: Apache-2.0
// Digests. SHA-256 names models and data for ever; xxh3 keys caches that may be rebuilt.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/files.h"

namespace gradus {

enum class HashKind { kSha256, kSha1 };  // SHA-1 only where git names content by it

class Hasher {
 public:
  explicit Hasher(HashKind kind);
  ~Hasher();
  Hasher& update(std::string_view bytes);
  std::string hex();  // finishes; call once

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string sha256_hex(std::string_view bytes);
// Reads in large blocks; throws gradus::Error when the file cannot be read.
std::string sha256_file(const fs::path& path);
uint64_t xxh3(std::string_view bytes, uint64_t seed = 0);

}  // namespace gradus
