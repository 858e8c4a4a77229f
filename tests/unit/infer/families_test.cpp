// SPDX-License-Identifier: Apache-2.0
// What must hold for a model of any family: caches, packing and recomputation change nothing.
#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>

#include <set>

#include "base/temporary_folder.h"
#include "infer/pass.h"
#include "model/folder.h"
#include "model/lora.h"
#include "support/catch.h"
#include "support/family_configs.h"
#include "support/tiny_model.h"

namespace gradus {
namespace {

std::vector<int32_t> some_ids(int32_t count, int32_t start) {
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < count; ++i) ids.push_back((start + 37 * i) % 150 + 3);
  return ids;
}

at::Tensor tensor_of(const std::vector<int32_t>& ids) {
  return at::tensor(std::vector<int64_t>(ids.begin(), ids.end()), at::kLong);
}

at::Tensor logits_of(const Transformer& model, const std::vector<int32_t>& ids) {
  const at::NoGradGuard no_gradients;
  const auto T = static_cast<int64_t>(ids.size());
  PackedAttention attention({0, T});
  return model.logits(model.forward(tensor_of(ids), at::arange(T, at::kLong), attention));
}

// A prompt, a chunk upon it, then token by token, of two sequences at once.
at::Tensor cached_logits(const Transformer& model, const std::vector<int32_t>& ids) {
  KvCache cache(model.config(), {.slots = 3, .capacity = 32}, at::kFloat, at::kCPU);
  std::vector<at::Tensor> rows;
  const auto pass = [&](int64_t first, int64_t last) {
    const std::vector<int32_t> part(ids.begin() + first, ids.begin() + last);
    const at::Tensor out = run_pass(model, cache,
                                    {{.slot = 2, .past = first, .ids = part, .all_rows = true},
                                     {.slot = 0, .past = first, .ids = part, .all_rows = true}});
    CHECK(at::allclose(out.narrow(0, 0, last - first), out.narrow(0, last - first, last - first),
                       1e-5, 1e-5));
    rows.push_back(out.narrow(0, 0, last - first));
  };
  pass(0, 9);
  pass(9, 16);
  for (int64_t t = 16; t < static_cast<int64_t>(ids.size()); ++t) pass(t, t + 1);
  return at::cat(rows, 0);
}

at::Tensor packed_logits(const Transformer& model, const std::vector<int32_t>& a,
                         const std::vector<int32_t>& b) {
  const at::NoGradGuard no_gradients;
  const auto A = static_cast<int64_t>(a.size()), B = static_cast<int64_t>(b.size());
  PackedAttention attention({0, A, A + B});
  const at::Tensor positions = at::cat({at::arange(A, at::kLong), at::arange(B, at::kLong)}, 0);
  return model.logits(
      model.forward(at::cat({tensor_of(a), tensor_of(b)}, 0), positions, attention));
}

// The gradients of a sum of squares of the hidden states.
std::vector<at::Tensor> gradients(Transformer& model, ActivationMemory memory) {
  model.set_activation_memory(memory);
  std::vector<at::Tensor> leaves;
  for (const NamedTensor& named : model.named_tensors()) {
    leaves.push_back(named.leaf);
    leaves.back().requires_grad_(true);
    leaves.back().mutable_grad() = at::Tensor();
  }
  PackedAttention attention({0, 12});
  const at::Tensor hidden =
      model.forward(tensor_of(some_ids(12, 5)), at::arange(12, at::kLong), attention);
  hidden.square().sum().backward();
  for (at::Tensor& leaf : leaves) {
    if (leaf.grad().defined()) leaf = leaf.grad().clone();
  }
  return leaves;
}

std::vector<std::string> projection_names(const Transformer& model) {
  std::set<std::string> names;
  const std::string output = model.config().names.output;
  const_cast<const Transformer&>(model).for_each_linear([&](const Linear& linear) {
    for (const LinearPart& part : linear.parts) {
      const bool expert = part.name.find("expert") != std::string::npos;
      if (part.name != output && !expert) names.insert(part.name.substr(part.name.rfind('.') + 1));
    }
  });
  return {names.begin(), names.end()};
}

}  // namespace

TEST_CASE("in every family caches, packing and recomputation change nothing") {
  for (const Json& json : family_configs()) {
    INFO(json.dump());
    const ModelConfig config = model_config_from_json(json, "test");
    Transformer model = model_by_formula(config);
    const std::vector<int32_t> a = some_ids(22, 3), b = some_ids(13, 50);
    const at::Tensor expected = logits_of(model, a);
    REQUIRE(expected.isfinite().all().item<bool>());
    CHECK(expected.std().item<float>() > 0.05);
    CHECK(at::allclose(cached_logits(model, a), expected, 1e-4, 2e-4));
    const at::Tensor packed = packed_logits(model, a, b);
    CHECK(at::allclose(packed.narrow(0, 0, 22), expected, 1e-4, 2e-4));
    CHECK(at::allclose(packed.narrow(0, 22, 13), logits_of(model, b), 1e-4, 2e-4));
    const auto kept = gradients(model, ActivationMemory::kKeep),
               recomputed = gradients(model, ActivationMemory::kRecompute);
    for (size_t i = 0; i < kept.size(); ++i) {  // experts' gradients are added in another order
      const double error = (recomputed[i] - kept[i]).norm().item<double>();
      CHECK(error <= 1e-5 * kept[i].norm().item<double>());
    }
  }
}

TEST_CASE("in every family a saved model loads, and adapters of all projections merge") {
  const std::vector<int32_t> ids = some_ids(20, 3);
  for (const Json& json : family_configs()) {
    INFO(json.dump());
    const TemporaryFolder folder;
    save_model(folder.path(), model_by_formula(model_config_from_json(json, "test")));
    Transformer model = load_model(folder.path(), {});
    const at::Tensor plain = logits_of(model, ids);
    CHECK(plain.equal(logits_of(model_by_formula(model.config()), ids)));
    attach_lora(model, {.rank = 4, .target_modules = projection_names(model)}, 1);
    for (const NamedTensor& named : lora_tensors(model)) {
      if (named.name.ends_with("lora_B.weight")) at::Tensor(named.tensor).fill_(0.01);
    }
    const at::Tensor adapted = logits_of(model, ids);
    CHECK((adapted - plain).abs().max().item<float>() > 1e-3);
    merge_lora(model);
    CHECK(at::allclose(logits_of(model, ids), adapted, 1e-4, 2e-4));
  }
}

TEST_CASE("in every family the numbers are counted as they are stored") {
  for (const Json& json : family_configs()) {
    INFO(json.dump());
    const ModelConfig config = model_config_from_json(json, "test");
    int64_t stored = 0;
    for (const NamedTensor& named : Transformer(config, at::kFloat, at::kMeta).named_tensors())
      stored += named.tensor.numel();
    CHECK(parameter_count(config) == stored);
    const ModelConfig again = model_config_from_json(model_config_to_json(config, "float32"), "t");
    CHECK(again.layer_window == config.layer_window);
    CHECK(again.layer_rope == config.layer_rope);
  }
}

}  // namespace gradus
