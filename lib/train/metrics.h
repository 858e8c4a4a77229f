// SPDX-License-Identifier: Apache-2.0
// What a run tells while it goes: metrics.jsonl (one object a line), TensorBoard events, and the
// cost model behind tokens/s and MFU.
#pragma once

#include <cstdint>
#include <string>

#include "base/json.h"
#include "data/packing.h"
#include "model/config.h"
#include "tensor/device.h"
#include "train/event_file.h"

namespace gradus {

// How far both files had grown at a checkpoint.
struct MetricsOffsets {
  int64_t metrics_bytes = 0;
  int64_t events_bytes = 0;
};

class MetricsLog {
 public:
  // Cuts both files back to the offsets, so that they tell exactly what the checkpoint knows.
  MetricsLog(const fs::path& run_folder, const MetricsOffsets& keep);
  // {"step": step, …fields}; every number goes to TensorBoard as "<group>/<key>".
  void add(int64_t step, const std::string& group, const Json& fields);
  MetricsOffsets sync();

 private:
  AppendFile lines_;
  EventFile events_;
};

// Floating-point operations that the mathematics of one training step needs, a multiply-add being
// two: per token 2·N forward, 2·N for the inputs' gradients and 2·n for the weights' gradients,
// where N counts the weights of the layers' projections and n those of them that are trained;
// per supervised token the same for the output projection's V·D weights; and for attention
// 12·H·Dh per layer and pair of a query with a key that it may see. Recomputed activations do not
// count (so this is model FLOPs, as in Chowdhery et al. 2022).
class FlopCounter {
 public:
  // trained_share = n / N, for adapters their own size over N.
  FlopCounter(const ModelConfig& config, double trained_share);
  double operator()(const PackedBatch& batch) const;

 private:
  double body_, head_, per_pair_;
  std::vector<int64_t> windows_;
};

// Operations per second of one large matrix product in this dtype, the best of a few.
double measured_peak_flops(c10::ScalarType dtype, c10::Device device);

// Bytes in use: the process's resident memory on a CPU, allocated device memory on a GPU.
int64_t memory_in_use(c10::Device device);

}  // namespace gradus
