// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/word_cache.h"

#include <memory>
#include <mutex>

namespace gradus {
namespace {

class CacheHolder {
 public:
  CacheHolder() {
    const std::lock_guard lock(mutex());
    if (idle().empty()) {
      cache_ = std::make_unique<WordCache>();
    } else {
      cache_ = std::move(idle().back());
      idle().pop_back();
    }
  }
  ~CacheHolder() {
    const std::lock_guard lock(mutex());
    idle().push_back(std::move(cache_));
  }
  CacheHolder(const CacheHolder&) = delete;
  CacheHolder& operator=(const CacheHolder&) = delete;

  WordCache& cache() { return *cache_; }

 private:
  // Never destroyed: threads may end after the statics.
  static std::mutex& mutex() {
    static auto* const made = new std::mutex;
    return *made;
  }
  static std::vector<std::unique_ptr<WordCache>>& idle() {
    static auto* const made = new std::vector<std::unique_ptr<WordCache>>;
    return *made;
  }

  std::unique_ptr<WordCache> cache_;
};

}  // namespace

WordCache& WordCache::of_this_thread() {
  thread_local CacheHolder holder;
  return holder.cache();
}

}  // namespace gradus
