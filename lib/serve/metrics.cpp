// SPDX-License-Identifier: Apache-2.0
#include "serve/metrics.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/error.h"
#include "base/system.h"

namespace gradus {
namespace {

constexpr double kAverageWeight = 0.1;  // of the newest request
constexpr const char* kOutcomeNames[] = {"finished", "cancelled", "failed"};

void header(std::string& out, const std::string& name, const char* type, const std::string& help) {
  out += cat("# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n");
}

std::string digits(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.15g", value);
  return text;
}

void gauge(std::string& out, const std::string& name, const std::string& help, double value) {
  header(out, name, "gauge", help);
  out += cat(name, " ", digits(value), "\n");
}

void counter(std::string& out, const std::string& name, const std::string& help, uint64_t value) {
  header(out, name, "counter", help);
  out += cat(name, " ", value, "\n");
}

void engine_metrics(std::string& out, const EngineStatus& engine) {
  const auto number = [](int64_t value) { return static_cast<double>(value); };
  const auto total = [](int64_t value) { return static_cast<uint64_t>(value); };
  counter(out, "gradus_prompt_tokens_total", "Prompt tokens computed.",
          total(engine.prompt_tokens_total));
  counter(out, "gradus_generated_tokens_total", "Tokens generated.",
          total(engine.generated_tokens_total));
  counter(out, "gradus_steps_total", "Forward passes.", total(engine.steps_total));
  gauge(out, "gradus_running", "Answers being computed.", number(engine.running));
  gauge(out, "gradus_queued", "Answers waiting for a slot.", number(engine.queued));
  gauge(out, "gradus_cached_tokens", "Tokens in the key/value cache.",
        number(engine.cached_tokens));
  gauge(out, "gradus_cache_capacity_tokens", "Tokens that the key/value cache can hold.",
        number(engine.cache_capacity_tokens));
  gauge(out, "gradus_cache_bytes", "Memory of the key/value cache.", number(engine.cache_bytes));
  gauge(out, "gradus_last_step_seconds", "Time of the last forward pass.",
        engine.last_step_seconds);
}

}  // namespace

void Histogram::observe(double seconds) {
  const auto bucket = std::lower_bound(kBounds.begin(), kBounds.end(), seconds) - kBounds.begin();
  ++counts_[static_cast<size_t>(bucket)];
  sum_ += seconds;
}

void Histogram::write(std::string& out, const std::string& name, const std::string& help) const {
  header(out, name, "histogram", help);
  uint64_t count = 0;
  for (size_t i = 0; i < kBounds.size(); ++i) {
    count += counts_[i];
    out += cat(name, "_bucket{le=\"", kBounds[i], "\"} ", count, "\n");
  }
  count += counts_.back();
  out += cat(name, "_bucket{le=\"+Inf\"} ", count, "\n", name, "_sum ", digits(sum_), "\n", name,
             "_count ", count, "\n");
}

void Metrics::count_response(const std::string& route, int status) {
  const std::lock_guard lock(mutex_);
  ++responses_[{route, status}];
}

void Metrics::first_token(double seconds_since_request) {
  const std::lock_guard lock(mutex_);
  first_token_.observe(seconds_since_request);
}

void Metrics::next_token(double seconds_since_last) {
  const std::lock_guard lock(mutex_);
  next_token_.observe(seconds_since_last);
}

void Metrics::request_done(double seconds, Outcome outcome) {
  const std::lock_guard lock(mutex_);
  ++outcomes_[static_cast<size_t>(outcome)];
  if (outcome != Outcome::kFinished) return;
  request_.observe(seconds);
  mean_request_seconds_ += kAverageWeight * (seconds - mean_request_seconds_);
}

void Metrics::request_refused() {
  const std::lock_guard lock(mutex_);
  ++refused_;
}

int64_t Metrics::retry_seconds(const EngineStatus& engine, int64_t max_sequences) const {
  const std::lock_guard lock(mutex_);
  const double rounds = static_cast<double>(engine.queued + 1) / static_cast<double>(max_sequences);
  return static_cast<int64_t>(std::clamp(std::ceil(rounds * mean_request_seconds_), 1.0, 120.0));
}

std::string Metrics::text(const MetricsNow& now) const {
  std::string out;
  header(out, "gradus_build_info", "gauge", "The program.");
  out += cat("gradus_build_info{version=\"", program_version(), "\"} 1\n");
  gauge(out, "gradus_ready", "1 when requests are served.", now.ready ? 1 : 0);
  gauge(out, "gradus_connections", "Open connections.", static_cast<double>(now.connections));
  gauge(out, "process_resident_memory_bytes", "Resident memory.",
        static_cast<double>(resident_bytes()));
  engine_metrics(out, now.engine);
  const std::lock_guard lock(mutex_);
  header(out, "gradus_http_responses_total", "counter", "Responses by route and status.");
  for (const auto& [key, count] : responses_)
    out += cat("gradus_http_responses_total{route=\"", key.first, "\",code=\"", key.second, "\"} ",
               count, "\n");
  header(out, "gradus_requests_total", "counter", "Generation requests by how they ended.");
  for (size_t i = 0; i < outcomes_.size(); ++i)
    out += cat("gradus_requests_total{outcome=\"", kOutcomeNames[i], "\"} ", outcomes_[i], "\n");
  counter(out, "gradus_requests_refused_total", "Requests refused because the queue was full.",
          refused_);
  first_token_.write(out, "gradus_time_to_first_token_seconds",
                     "From the request's headers to its first token.");
  next_token_.write(out, "gradus_time_per_token_seconds", "From one token to the next.");
  request_.write(out, "gradus_request_seconds", "From the request's headers to the whole answer.");
  return out;
}

}  // namespace gradus
