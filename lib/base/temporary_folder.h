// SPDX-License-Identifier: Apache-2.0
// A new, empty folder below the system's folder for temporary files; goes away with the object.
#pragma once

#include <string>

#include "base/files.h"

namespace gradus {

class TemporaryFolder {
 public:
  TemporaryFolder();  // throws gradus::Error when it cannot be made
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const fs::path& path() const { return path_; }
  fs::path operator/(const std::string& name) const { return path_ / name; }

 private:
  fs::path path_;
};

}  // namespace gradus
