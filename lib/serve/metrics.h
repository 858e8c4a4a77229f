// SPDX-License-Identifier: Apache-2.0
// Counters and latencies in the Prometheus text format, version 0.0.4. Thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "infer/engine.h"

namespace gradus {

class Histogram {
 public:
  // Upper bounds in seconds; the last bucket is open.
  static constexpr std::array<double, 16> kBounds = {
      0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120};
  void observe(double seconds);
  void write(std::string& out, const std::string& name, const std::string& help) const;

 private:
  std::array<uint64_t, kBounds.size() + 1> counts_{};
  double sum_ = 0;
};

enum class Outcome { kFinished, kCancelled, kFailed };

// What is read from elsewhere when the metrics are asked for.
struct MetricsNow {
  EngineStatus engine;
  int64_t connections = 0;
  bool ready = false;
};

class Metrics {
 public:
  void count_response(const std::string& route, int status);
  void first_token(double seconds_since_request);
  void next_token(double seconds_since_last);
  void request_done(double seconds, Outcome outcome);
  void request_refused();  // for want of room in the queue

  // How long a client should wait before it tries again: the time in which the queue empties, by
  // the recent time per request.
  int64_t retry_seconds(const EngineStatus& engine, int64_t max_sequences) const;
  std::string text(const MetricsNow& now) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, int>, uint64_t> responses_;
  std::array<uint64_t, 3> outcomes_{};
  uint64_t refused_ = 0;
  Histogram first_token_, next_token_, request_;
  double mean_request_seconds_ = 1;  // moving average
};

}  // namespace gradus
