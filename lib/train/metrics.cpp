// SPDX-License-Identifier: Apache-2.0
#include "train/metrics.h"

#include <ATen/DeviceAccelerator.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones.h>

#include <algorithm>
#include <chrono>

#include "base/system.h"

namespace gradus {
namespace {

constexpr const char* kEventFile = "events.out.tfevents.0000000000.gradus";

// Pairs (query, key) of a causal segment under a window (0: none).
double visible_pairs(int64_t length, int64_t window) {
  const auto n = static_cast<double>(length);
  if (window == 0 || window >= length) return n * (n + 1) / 2;
  const auto w = static_cast<double>(window);
  return w * (w + 1) / 2 + (n - w) * w;
}

fs::path event_path(const fs::path& run_folder) {
  fs::create_directories(run_folder / "tensorboard");
  return run_folder / "tensorboard" / kEventFile;
}

}  // namespace

MetricsLog::MetricsLog(const fs::path& run_folder, const MetricsOffsets& keep)
    : lines_(run_folder / "metrics.jsonl", keep.metrics_bytes),
      events_(event_path(run_folder), keep.events_bytes) {}

void MetricsLog::add(int64_t step, const std::string& group, const Json& fields) {
  Json line{{"step", step}};
  line.update(fields);
  lines_.append(line.dump() + "\n");
  Scalars scalars;
  for (const auto& [key, value] : fields.items()) {
    if (value.is_number()) scalars.emplace_back(group + "/" + key, value.get<double>());
  }
  events_.add(step, scalars);
}

MetricsOffsets MetricsLog::sync() {
  lines_.sync();
  events_.sync();
  return {lines_.bytes(), events_.bytes()};
}

FlopCounter::FlopCounter(const ModelConfig& config, double trained_share)
    : windows_(config.layer_window) {
  const auto head = static_cast<double>(config.vocab_size * config.hidden_size);
  const double factor = 4.0 + 2.0 * trained_share;
  body_ = factor * (static_cast<double>(matmul_parameter_count(config)) - head);
  head_ = factor * head;
  per_pair_ = 12.0 * static_cast<double>(config.num_attention_heads * config.head_dim);
}

double FlopCounter::operator()(const PackedBatch& batch) const {
  double total = body_ * static_cast<double>(batch.tokens()) +
                 head_ * static_cast<double>(batch.supervised_tokens);
  for (size_t i = 0; i + 1 < batch.segment_starts.size(); ++i) {
    const int64_t length = batch.segment_starts[i + 1] - batch.segment_starts[i];
    for (const int64_t window : windows_) total += per_pair_ * visible_pairs(length, window);
  }
  return total;
}

double measured_peak_flops(c10::ScalarType dtype, c10::Device device) {
  const at::NoGradGuard no_gradients;
  const int64_t size = device.is_cpu() ? 1024 : 8192;
  const auto options = at::TensorOptions().dtype(dtype).device(device);
  const at::Tensor a = at::ones({size, size}, options), b = at::ones({size, size}, options);
  const auto sum_of_product = [&] { return at::linear(a, b)[0][0].item<double>(); };
  sum_of_product();
  double best = 0;
  for (int i = 0; i < 8; ++i) {
    const auto start = std::chrono::steady_clock::now();
    sum_of_product();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, 2.0 * static_cast<double>(size * size * size) / seconds.count());
  }
  return best;
}

int64_t memory_in_use(c10::Device device) {
  if (device.is_cpu()) return resident_bytes();
  const auto stats = at::accelerator::getDeviceStats(device.index());
  return stats.allocated_bytes[0].current;
}

}  // namespace gradus
