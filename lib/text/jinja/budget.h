// SPDX-License-Identifier: Apache-2.0
// What one render may use. Templates come from model authors nobody has vetted, so every evaluated
// node, copied byte and live value is counted against a Budget and the render fails, with the
// place in the template, when one limit is passed.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace gradus::jinja {

// A template error that has no place yet; the evaluator adds line and column.
class Failure : public std::runtime_error {
 public:
  explicit Failure(const std::string& message) : std::runtime_error(message) {}
};

inline constexpr size_t kMaxTextBytes = size_t{64} << 20;   // one string, and the output
inline constexpr size_t kMaxLiveBytes = size_t{512} << 20;  // all values of a render together
inline constexpr uint64_t kMaxSteps = 20'000'000;
inline constexpr size_t kMaxEvaluationDepth = 900;
inline constexpr uint32_t kMaxValueDepth = 400;  // lists in lists; JSON input has at most 200
inline constexpr size_t kMaxRange = 100'000;     // as in Jinja's sandbox
inline constexpr std::chrono::seconds kMaxTime{10};

// Installs itself for the current thread; values created meanwhile must not outlive it.
class Budget {
 public:
  Budget();
  ~Budget();
  Budget(const Budget&) = delete;
  Budget& operator=(const Budget&) = delete;

  static Budget* current();  // null while a template is parsed

  void spend(uint64_t steps);
  void hold(size_t bytes);
  void release(size_t bytes) noexcept { live_bytes_ -= bytes; }
  void enter();
  void leave() noexcept { --depth_; }

 private:
  void check_clock();

  uint64_t steps_ = 0;
  uint64_t next_clock_check_ = 0;
  size_t live_bytes_ = 0;
  size_t depth_ = 0;
  std::chrono::steady_clock::time_point end_;
  Budget* outer_;
};

// Counts against the current budget, if there is one.
void spend(uint64_t steps);
inline void spend_bytes(size_t bytes) { spend(1 + bytes / 64); }
void check_text_size(size_t bytes);

// One level of recursion, for the evaluator and everything that walks nested values.
class DepthGuard {
 public:
  DepthGuard();
  ~DepthGuard();
  DepthGuard(const DepthGuard&) = delete;
  DepthGuard& operator=(const DepthGuard&) = delete;

 private:
  Budget* budget_;
};

}  // namespace gradus::jinja
