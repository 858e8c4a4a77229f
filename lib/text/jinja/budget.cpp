// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/budget.h"

#include "base/error.h"

namespace gradus::jinja {
namespace {

constexpr uint64_t kStepsPerClockCheck = 4096;
thread_local Budget* current_budget = nullptr;

}  // namespace

Budget::Budget() : end_(std::chrono::steady_clock::now() + kMaxTime), outer_(current_budget) {
  current_budget = this;
}

Budget::~Budget() { current_budget = outer_; }

Budget* Budget::current() { return current_budget; }

void Budget::spend(uint64_t steps) {
  steps_ += steps;
  if (steps_ > kMaxSteps) throw Failure(cat("the template takes more than ", kMaxSteps, " steps"));
  if (steps_ >= next_clock_check_) check_clock();
}

void Budget::check_clock() {
  next_clock_check_ = steps_ + kStepsPerClockCheck;
  if (std::chrono::steady_clock::now() > end_) {
    throw Failure(cat("the template runs longer than ", kMaxTime.count(), " seconds"));
  }
}

void Budget::hold(size_t bytes) {
  if (bytes > kMaxLiveBytes - live_bytes_) {
    throw Failure(cat("the template's values take more than ", kMaxLiveBytes, " bytes"));
  }
  live_bytes_ += bytes;
}

void Budget::enter() {
  if (depth_ >= kMaxEvaluationDepth) {
    throw Failure(cat("the template recurses more than ", kMaxEvaluationDepth, " levels deep"));
  }
  ++depth_;
}

void spend(uint64_t steps) {
  if (current_budget != nullptr) current_budget->spend(steps);
}

void check_text_size(size_t bytes) {
  if (bytes > kMaxTextBytes) throw Failure(cat("a text exceeds ", kMaxTextBytes, " bytes"));
}

DepthGuard::DepthGuard() : budget_(current_budget) {
  if (budget_ != nullptr) budget_->enter();
}

DepthGuard::~DepthGuard() {
  if (budget_ != nullptr) budget_->leave();
}

}  // namespace gradus::jinja
