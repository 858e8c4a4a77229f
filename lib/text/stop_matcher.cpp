// SPDX-License-Identifier: Apache-2.0
#include "text/stop_matcher.h"

#include <algorithm>

namespace gradus {

std::string StopMatcher::push(std::string_view text) {
  if (stopped_) return {};
  pending_ += text;
  size_t begin = std::string::npos, end = std::string::npos;
  for (const std::string& stop : stops_) {
    const size_t at = pending_.find(stop);
    if (at == std::string::npos) continue;
    const size_t past = at + stop.size();
    if (past < end || (past == end && at < begin)) begin = at, end = past;
  }
  stopped_ = begin != std::string::npos;
  const size_t sure = stopped_ ? begin : pending_.size() - held_back();
  std::string released = pending_.substr(0, sure);
  pending_.erase(0, stopped_ ? pending_.size() : sure);
  return released;
}

// Length of the longest end of the text that a stop string begins with.
size_t StopMatcher::held_back() const {
  size_t longest = 0;
  for (const std::string& stop : stops_) {
    for (size_t n = std::min(stop.size() - 1, pending_.size()); n > longest; --n) {
      if (pending_.compare(pending_.size() - n, n, stop, 0, n) == 0) longest = n;
    }
  }
  return longest;
}

std::string StopMatcher::finish() {
  std::string rest;
  rest.swap(pending_);
  return rest;
}

}  // namespace gradus
