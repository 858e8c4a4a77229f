// SPDX-License-Identifier: Apache-2.0
// A file that only grows, and can be cut back to a known length: what lets metrics and events agree
// with the checkpoint that a run resumes from.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/files.h"

namespace gradus {

class AppendFile {
 public:
  // Opens or makes the file and cuts it to `keep_bytes`. Throws gradus::Error when it is shorter.
  AppendFile(const fs::path& path, int64_t keep_bytes);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  void append(std::string_view bytes);
  int64_t bytes() const { return bytes_; }
  void sync();  // to disk

 private:
  fs::path path_;
  int descriptor_ = -1;
  int64_t bytes_ = 0;
};

}  // namespace gradus
