// SPDX-License-Identifier: Apache-2.0
// Digests that commands remember from one call to the next, in the user's cache folder.
#pragma once

#include "base/digest.h"

namespace gradus {

// Saved when it goes; that it cannot be saved is no error.
class RememberedDigests {
 public:
  RememberedDigests();
  ~RememberedDigests();
  RememberedDigests(const RememberedDigests&) = delete;
  RememberedDigests& operator=(const RememberedDigests&) = delete;

  DigestCache& cache() { return cache_; }

 private:
  DigestCache cache_;
};

}  // namespace gradus
