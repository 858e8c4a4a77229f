// SPDX-License-Identifier: Apache-2.0
// Typed access to a GGUF file's metadata, with keys relative to the architecture.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/json.h"

namespace gradus {

// An fp32 value as the shortest decimal that gives the same fp32; others as they are.
double shortest_decimal(double value);

class GgufKeys {
 public:
  // Both must outlive this.
  GgufKeys(const Json& metadata, const std::string& where);

  const std::string& architecture() const { return architecture_; }
  const std::string& where() const { return where_; }
  // `key` is relative: "block_count" stands for "llama.block_count".
  bool has(const std::string& key) const { return metadata_.contains(full(key)); }
  int64_t size(const std::string& key) const;  // 1 to 2^31 - 1
  int64_t size(const std::string& key, int64_t fallback) const {
    return has(key) ? size(key) : fallback;
  }
  // A finite number; fp32 values as the shortest decimal that gives the same fp32 (1e-05).
  double number(const std::string& key) const;
  std::string text(const std::string& key) const;
  bool flag(const std::string& key) const;
  const Json& value(const std::string& key) const { return metadata_.at(full(key)); }  // has(key)

  [[noreturn]] void refuse(const std::string& key, const std::string& what,
                           const std::string& expected = {}) const;

 private:
  std::string full(const std::string& key) const { return architecture_ + "." + key; }

  const Json& metadata_;
  const std::string& where_;
  std::string architecture_;
};

}  // namespace gradus
