// SPDX-License-Identifier: Apache-2.0
#include "digest_cache.h"

#include <cstdlib>

#include "base/error.h"
#include "base/log.h"

namespace gradus {
namespace {

// Where the XDG base directory specification puts caches; "" (no cache) without a home.
fs::path digest_cache_file() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache && *cache)
    return fs::path(cache) / "gradus" / "digests.json";
  if (const char* home = std::getenv("HOME"); home && *home)
    return fs::path(home) / ".cache" / "gradus" / "digests.json";
  return {};
}

}  // namespace

RememberedDigests::RememberedDigests() : cache_(digest_cache_file()) {}

RememberedDigests::~RememberedDigests() {
  try {
    cache_.save();
  } catch (const std::exception& error) {
    log_debug("store", cat("digests are not remembered: ", error.what()));
  }
}

}  // namespace gradus
