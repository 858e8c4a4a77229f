// SPDX-License-Identifier: Apache-2.0
// API keys. Only digests are kept; a check takes the same time whatever key is given, and keys are
// never logged.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"

namespace gradus {

class ApiKeys {
 public:
  void add(std::string_view key);
  // One key a line; empty lines and what follows '#' are skipped. Throws gradus::Error naming the
  // line of a key that is too short, and when the file holds none.
  void add_file(const fs::path& file);

  bool empty() const { return digests_.empty(); }
  bool accepts(std::string_view key) const;
  // "Bearer KEY", as the Authorization header has it.
  bool accepts_header(std::string_view authorization) const;

 private:
  std::vector<std::array<unsigned char, 32>> digests_;
};

}  // namespace gradus
