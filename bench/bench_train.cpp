// SPDX-License-Identifier: Apache-2.0
// Training speed of the SmolLM2-135M shape (random weights, bf16, AdamW, 2,048 tokens a step), as
// 4 documents of 512 tokens and as 20 of 102, beside transformers with fused AdamW on the same
// shape and tokens (bench/peers/train_transformers.py). The two take turns, so that a busy machine
// hits both; the best step of each counts.
//   bench_train [--quick] [PYTHON]    the last line is one JSON document
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <cstdio>
#include <string>

#include "base/error.h"
#include "base/rng.h"
#include "base/system.h"
#include "bench_support.h"
#include "tensor/device.h"
#include "train/metrics.h"
#include "train/objective.h"
#include "train/optimizer.h"

namespace gradus {
namespace {

struct Layout {
  const char* name;
  int32_t documents, length;
};
constexpr Layout kLayouts[] = {{"documents of 512", 4, 512}, {"documents of 102", 20, 102}};

ModelConfig smollm2_config() {
  return model_config_from_json({{"model_type", "llama"},
                                 {"hidden_size", 576},
                                 {"intermediate_size", 1536},
                                 {"num_hidden_layers", 30},
                                 {"num_attention_heads", 9},
                                 {"num_key_value_heads", 3},
                                 {"vocab_size", 49152},
                                 {"max_position_embeddings", 8192},
                                 {"rope_theta", 100000.0},
                                 {"rms_norm_eps", 1e-5},
                                 {"tie_word_embeddings", true}},
                                "bench");
}

void fill(Transformer& model) {
  const at::NoGradGuard no_gradients;
  for (const NamedTensor& named : model.named_tensors()) {
    at::Tensor tensor = named.tensor;
    tensor.dim() > 1 ? tensor.normal_(0, 0.02) : tensor.fill_(1);
  }
}

PackedBatch make_batch(const Layout& layout) {
  PackedBatch batch;
  batch.segment_starts = {0};
  for (int32_t d = 0; d < layout.documents; ++d) {
    for (int32_t i = 0; i < layout.length; ++i) {
      const auto n = static_cast<uint64_t>(batch.ids.size());
      batch.ids.push_back(static_cast<int32_t>(random_bits(1, 0, n) % 49152));
      batch.targets.push_back(static_cast<int32_t>(random_bits(1, 0, n + 1) % 49152));
      batch.positions.push_back(i);
    }
    batch.segment_starts.push_back(static_cast<int32_t>(batch.ids.size()));
  }
  batch.supervised_tokens = batch.tokens();
  return batch;
}

class Ours {
 public:
  Ours() : model_(smollm2_config(), at::kBFloat16, at::kCPU) {
    fill(model_);
    parameters_ = choose_parameters(model_, recipe_);
    optimizer_ = std::make_unique<AdamW>(parameters_, recipe_.optimizer);
    gradients_ = std::make_unique<GradientSum>(parameters_);
  }

  double step_seconds(const PackedBatch& packed) {
    const auto start = bench::Clock::now();
    const Batch batch = to_device(packed, at::kCPU);
    PackedAttention attention(batch.segment_starts);
    const at::Tensor hidden = forward(model_, batch, attention);
    const at::Tensor loss = CrossEntropyObjective().loss(
        model_, hidden, batch, 1.0 / static_cast<double>(packed.supervised_tokens));
    torch::autograd::backward({loss}, {});
    gradients_->clear();
    gradients_->take(1);
    optimizer_->step(gradients_->tensors(), 1e-4, 1.0 / std::max(1.0, gradients_->norm()));
    return bench::seconds_since(start);
  }

  const ModelConfig& config() const { return model_.config(); }

 private:
  TrainingRecipe recipe_;
  Transformer model_;
  std::vector<TrainedParameter> parameters_;
  std::unique_ptr<AdamW> optimizer_;
  std::unique_ptr<GradientSum> gradients_;
};

double peer_seconds(const bench::Options& options, const Layout& layout, int steps) {
  const Json result = bench::peer(options, "train_transformers.py",
                                  cat("--documents ", layout.documents, " --length ", layout.length,
                                      " --steps ", steps, " --threads ", usable_cores()));
  return json_get<double>(result, "best_seconds", "peer");
}

Json measure(Ours& ours, const Layout& layout, const bench::Options& options) {
  const PackedBatch batch = make_batch(layout);
  const int steps = 3;
  double best = 1e30, peer = 1e30;
  for (int round = 0; round < options.rounds; ++round) {
    for (int step = 0; step < steps; ++step) best = std::min(best, ours.step_seconds(batch));
    if (!options.python.empty()) peer = std::min(peer, peer_seconds(options, layout, steps));
  }
  const auto tokens = static_cast<double>(batch.tokens());
  const double flops = FlopCounter(ours.config(), 1.0)(batch);
  Json result{{"layout", layout.name},
              {"tokens_per_second", tokens / best},
              {"tflops", flops / best / 1e12}};
  if (peer < 1e30) {
    result["transformers_tokens_per_second"] = tokens / peer;
    result["ratio"] = peer / best;
  }
  return result;
}

void run(const bench::Options& options) {
  set_compute_threads(0);
  Ours ours;
  Json results = Json::array();
  for (const Layout& layout : kLayouts) {
    results.push_back(measure(ours, layout, options));
    bench::print_report(results.back());
    std::fflush(stdout);
  }
  const double peak = measured_peak_flops(at::kBFloat16, at::kCPU);
  const Json report{{"bench", "train"},
                    {"threads", usable_cores()},
                    {"peak_tflops", peak / 1e12},
                    {"results", results}};
  bench::print_report(report);
}

}  // namespace
}  // namespace gradus

int main(int argc, char** argv) {
  gradus::keep_freed_memory();
  return gradus::bench::run_main(argc, argv, 3, gradus::run);
}
