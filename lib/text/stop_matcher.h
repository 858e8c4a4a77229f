// SPDX-License-Identifier: Apache-2.0
// Stop strings in text that arrives in pieces. The result does not depend on where the pieces end:
// the answer is cut before the stop string that is complete first (of several that end at one
// place, before the longest).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gradus {

class StopMatcher {
 public:
  explicit StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  // The text that certainly belongs to the answer; what may be the start of a stop string is held
  // back. Empty once a stop string was found.
  std::string push(std::string_view text);
  // What was held back, at the end of the text.
  std::string finish();
  bool stopped() const { return stopped_; }

 private:
  size_t held_back() const;

  std::vector<std::string> stops_;
  std::string pending_;  // shorter than the longest stop string between calls
  bool stopped_ = false;
};

}  // namespace gradus
