// SPDX-License-Identifier: Apache-2.0
// Progress of long work: a bar with rate and ETA on a terminal, a plain line every few seconds
// otherwise. The bar is drawn on stderr at most ten times a second; it follows --quiet and
// --log-format like every other log line. For one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

namespace gradus {

class Progress {
 public:
  // `unit` is what is counted ("tokens", "steps", "bytes"); total 0 means unknown. `done` were done
  // before: they count as progress, not in the rate.
  Progress(std::string label, int64_t total, std::string unit, int64_t done = 0);
  ~Progress();

  void advance(int64_t amount = 1) { advance_to(done_ + amount); }
  void advance_to(int64_t done);
  // Free text shown behind the rate, e.g. "loss 2.31".
  void note(std::string text) { note_ = std::move(text); }

 private:
  void draw(bool last);

  std::string label_, unit_, note_;
  int64_t total_, first_, done_;
  bool terminal_;
  std::chrono::steady_clock::time_point start_, drawn_;
};

}  // namespace gradus
