// SPDX-License-Identifier: Apache-2.0
#include "base/temporary_folder.h"

#include <cstdlib>

#include "base/error.h"

namespace gradus {

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (fs::temp_directory_path() / "gradus-XXXXXX").string();
  if (!::mkdtemp(pattern.data())) throw Error({.what = "cannot create a folder", .where = pattern});
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace gradus
