// SPDX-License-Identifier: Apache-2.0
// Equalities that training rests on.
#include "train/objective.h"

#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include "base/error.h"
#include "support/family_configs.h"
#include "train/parameters.h"
#include "train/student.h"
#include "unit/train/support.h"

// Last: libtorch has a CHECK of its own.
#include "support/catch.h"

namespace gradus {
namespace {

double loss_of(const Transformer& model, const Objective& objective, const PackedBatch& packed) {
  const at::NoGradGuard no_gradients;
  const Batch batch = to_device(packed, at::kCPU);
  PackedAttention attention(batch.segment_starts);
  return objective.loss(model, forward(model, batch, attention), batch, 1.0).item<double>();
}

at::Tensor logits_of(const Transformer& model, const PackedBatch& packed) {
  const at::NoGradGuard no_gradients;
  const Batch batch = to_device(packed, at::kCPU);
  PackedAttention attention(batch.segment_starts);
  return model.logits(forward(model, batch, attention));
}

TrainingRecipe lora_recipe() {
  TrainingRecipe recipe = tiny_recipe();
  recipe.method = TrainMethod::kLora;
  return recipe;
}

}  // namespace

TEST_CASE("the loss of packed documents is the sum of their own losses") {
  const std::string family = GENERATE("llama", "rwkv", "rwkv7");
  CAPTURE(family);
  const Transformer model = small_model(family);
  const PackedBatch packed = random_batch({5, 31, 1, 12}, 3);
  double apart = 0;
  for (size_t i = 0; i < 4; ++i)
    apart += loss_of(model, CrossEntropyObjective(), segment(packed, i));
  CHECK(loss_of(model, CrossEntropyObjective(), packed) == Approx(apart).epsilon(1e-5));
}

TEST_CASE("a teacher that equals its student gives no divergence and no gradient") {
  for (const double reverse : {0.0, 1.0, 0.3}) {
    Transformer model = tiny_model();
    const DistillationObjective objective(tiny_model(),
                                          {.temperature = 2.0, .reverse_weight = reverse});
    const auto parameters = choose_parameters(model, tiny_recipe());
    const Batch batch = to_device(random_batch({9, 20}, 4), at::kCPU);
    PackedAttention attention(batch.segment_starts);
    const at::Tensor loss = objective.loss(model, forward(model, batch, attention), batch, 1.0);
    CHECK(std::abs(loss.item<double>()) <= 1e-4);
    torch::autograd::backward({loss}, {});
    for (const TrainedParameter& parameter : parameters)
      CHECK(parameter.leaf.grad().abs().max().item<double>() <= 1e-4);
  }
}

TEST_CASE("hard distillation alone is the cross-entropy") {
  const Transformer model = tiny_model();
  const DistillationObjective objective(tiny_model(), {.hard_weight = 1.0});
  const PackedBatch batch = random_batch({9, 20}, 4);
  CHECK(loss_of(model, objective, batch) ==
        Approx(loss_of(model, CrossEntropyObjective(), batch)).epsilon(1e-6));
}

TEST_CASE("fresh adapters change nothing, and only they receive gradients") {
  Transformer model = tiny_model();
  const PackedBatch packed = random_batch({14, 6}, 5);
  const at::Tensor before = logits_of(model, packed);
  const auto parameters = choose_parameters(model, lora_recipe());
  CHECK(logits_of(model, packed).equal(before));
  for (const TrainedParameter& parameter : parameters)
    CHECK(parameter.parts[0].name.find(".lora_") != std::string::npos);
  for (const NamedTensor& named : model.named_tensors()) CHECK(!named.leaf.requires_grad());
}

TEST_CASE("a merged adapter gives the logits of an attached one") {
  Transformer model = tiny_model();
  const auto parameters = choose_parameters(model, lora_recipe());
  {
    const at::NoGradGuard no_gradients;
    for (const TrainedParameter& parameter : parameters)
      parameter.leaf.detach().add_(parameter.leaf.numel() % 7 * 0.003 + 0.002);
  }
  const PackedBatch packed = random_batch({14, 6}, 5);
  const at::Tensor attached = logits_of(model, packed), plain = logits_of(tiny_model(), packed);
  merge_lora(model);
  CHECK(relative_difference(attached, plain) > 1e-3);
  CHECK(relative_difference(logits_of(model, packed), attached) <= 1e-5);
}

TEST_CASE("a student keeps the layers it is told to") {
  const Transformer model = tiny_model();
  const Transformer student = keep_layers(model, {0, 2});
  CHECK(student.config().num_hidden_layers == 2);
  CHECK(student.layers()[1].qkv.weight.equal(model.layers()[2].qkv.weight));
  CHECK(!student.layers()[1].qkv.weight.is_alias_of(model.layers()[2].qkv.weight));
  CHECK(student.layers()[0].down.weight.equal(model.layers()[0].down.weight));
  CHECK(student.final_norm.weight.equal(model.final_norm.weight));
  CHECK(keep_layers(model, {0, 1, 2}).embedding.equal(model.embedding));
}

TEST_CASE("every way of choosing layers") {
  const auto kept = [](StudentRecipe recipe) { return kept_layers(recipe, 6); };
  CHECK(kept({}) == std::vector<int64_t>{0, 1, 2, 3, 4, 5});
  CHECK(kept({.keep_layers = {4, 1}}) == std::vector<int64_t>{1, 4});
  CHECK(kept({.keep_every = 2}) == std::vector<int64_t>{0, 2, 4});
  CHECK(kept({.keep_first = 2, .keep_last = 1}) == std::vector<int64_t>{0, 1, 5});
  CHECK_THROWS_AS(kept({.keep_layers = {6}}), Error);
  CHECK_THROWS_AS(kept({.keep_layers = {1, 1}}), Error);
  CHECK_THROWS_AS(kept({.keep_first = 5, .keep_last = 4}), Error);
}

}  // namespace gradus
