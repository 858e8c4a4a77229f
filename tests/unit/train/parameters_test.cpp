// SPDX-License-Identifier: Apache-2.0
// Which weights can be trained, and that recomputed activations change nothing about it.
#include "train/parameters.h"

#include <ATen/ops/full.h>
#include <torch/csrc/autograd/autograd.h>

#include "base/error.h"
#include "model/folder.h"
#include "support/catch.h"
#include "tensor/quantized.h"
#include "train/objective.h"
#include "train/student.h"
#include "unit/train/support.h"

// Last: libtorch has a CHECK of its own.

using Catch::Matchers::Contains;

namespace gradus {
namespace {

// A tiny model of which every projection but the output is int8.
Transformer quantized_model() {
  Transformer model = tiny_model();
  model.for_each_linear([](Linear& layer) {
    if (layer.parts[0].name == "lm_head") return;
    const int64_t N = layer.out_features(), K = layer.in_features;
    layer.quantized =
        prepare_quantized({.bits = 8,
                           .values = at::full({N, K}, 3, at::TensorOptions().dtype(at::kChar)),
                           .scales = at::full({N, 1}, 0.01, at::TensorOptions().dtype(at::kFloat))},
                          K, layer.parts[0].name);
    layer.weight.reset();
  });
  return model;
}

// The gradients of one batch, an undefined tensor where there is none.
std::vector<at::Tensor> gradients(const TrainingRecipe& recipe, ActivationMemory memory) {
  Transformer model = tiny_model();
  const auto parameters = choose_parameters(model, recipe);
  {
    const at::NoGradGuard no_gradients;  // adapters start with B = 0, which hides half of them
    for (const TrainedParameter& parameter : parameters) parameter.leaf.detach().add_(0.01);
  }
  model.set_activation_memory(memory);
  const Batch batch = to_device(random_batch({9, 20}, 4), at::kCPU);
  PackedAttention attention(batch.segment_starts);
  const at::Tensor loss =
      CrossEntropyObjective().loss(model, forward(model, batch, attention), batch, 1.0);
  torch::autograd::backward({loss}, {});
  std::vector<at::Tensor> result;
  for (const TrainedParameter& parameter : parameters) result.push_back(parameter.leaf.grad());
  return result;
}

TrainingRecipe frozen(const FreezeRecipe& freeze) {
  TrainingRecipe recipe = tiny_recipe();
  recipe.method = TrainMethod::kFreeze;
  recipe.freeze = freeze;
  return recipe;
}

TrainingRecipe adapted(const std::vector<std::string>& targets, LoraRecipe lora = {}) {
  TrainingRecipe recipe = tiny_recipe();
  recipe.method = TrainMethod::kLora;
  lora.targets = targets;
  lora.rank = 4;
  recipe.lora = lora;
  return recipe;
}

ModelConfig windowed_config() {
  Json json = tiny_config("qwen2").source;
  json["use_sliding_window"] = true;
  json["sliding_window"] = 8;
  json["max_window_layers"] = 1;
  return model_config_from_json(json, "windowed");
}

}  // namespace

TEST_CASE("a quantised model is refused as a parent, by name") {
  Transformer model = quantized_model();
  CHECK_THROWS_WITH(choose_parameters(model, tiny_recipe()),
                    Contains("quantised model cannot be trained"));
  CHECK_THROWS_WITH(choose_parameters(model, adapted({"q_proj"})),
                    Contains("quantised model cannot be trained"));
  CHECK_THROWS_WITH(keep_layers(model, {0}), Contains("quantised model cannot be made"));
  const TemporaryFolder folder;
  CHECK_THROWS_WITH(save_model(folder.path(), model), Contains("quantised model cannot be"));
  CHECK(fs::is_empty(folder.path()));
}

TEST_CASE("a quantised model can be a teacher") {
  Transformer student = tiny_model();
  const auto parameters = choose_parameters(student, tiny_recipe());
  const DistillationObjective objective(quantized_model(), {});
  const Batch batch = to_device(random_batch({9, 20}, 4), at::kCPU);
  PackedAttention attention(batch.segment_starts);
  const at::Tensor loss = objective.loss(student, forward(student, batch, attention), batch, 1.0);
  CHECK(loss.item<double>() > 0);
  torch::autograd::backward({loss}, {});
  CHECK(parameters[0].leaf.grad().abs().sum().item<double>() > 0);
}

TEST_CASE("recomputed activations give the gradients of kept ones, whatever is trained") {
  const std::vector<std::pair<std::string, TrainingRecipe>> cases = {
      {"all", tiny_recipe()},
      {"last layer", frozen({.last_layers = 1})},
      {"first layer", frozen({.layers = {0}})},
      {"head", frozen({.head = true})},
      {"embeddings", frozen({.embeddings = true})},
      {"adapters", adapted({"q_proj", "v_proj", "down_proj"})},
      {"adapters with magnitudes", adapted({"q_proj", "up_proj"}, {.use_dora = true})},
      {"adapters and whole modules",
       adapted({"v_proj"}, {.modules_to_save = {"norm", "lm_head"}})}};
  for (const auto& [name, recipe] : cases) {
    INFO(name);
    const auto kept = gradients(recipe, ActivationMemory::kKeep);
    const auto recomputed = gradients(recipe, ActivationMemory::kRecompute);
    REQUIRE(!kept.empty());
    REQUIRE(kept.size() == recomputed.size());
    for (size_t i = 0; i < kept.size(); ++i) {
      REQUIRE(kept[i].defined());
      CHECK(kept[i].abs().sum().item<double>() > 0);
      REQUIRE(recomputed[i].defined());
      CHECK(recomputed[i].equal(kept[i]));
    }
  }
}

TEST_CASE("an adapted output projection cannot be trained, and recipes do not offer it") {
  Transformer model = tiny_model();
  attach_lora(model, {.target_modules = {"lm_head"}}, 1);
  CHECK_THROWS_WITH(model.output_head(), Contains("nor adapted"));
  CHECK_THROWS_WITH(parse_recipe<LoraRecipe>("targets: [lm_head]", "r.yaml"), Contains("lm_head"));
}

TEST_CASE("a student's configuration keeps the windows of its layers") {
  const Transformer model(windowed_config(), at::kFloat, at::kCPU);
  CHECK(model.config().layer_window == std::vector<int64_t>{0, 8, 8});
  for (const std::vector<int64_t>& layers : {std::vector<int64_t>{0, 2}, {0}, {1}, {0, 1}}) {
    const ModelConfig student = keep_layers(model, layers).config();
    const ModelConfig again =
        model_config_from_json(model_config_to_json(student, "float32"), "student");
    CHECK(again.layer_window == student.layer_window);
  }
}

}  // namespace gradus
