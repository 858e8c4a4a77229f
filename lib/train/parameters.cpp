// SPDX-License-Identifier: Apache-2.0
#include "train/parameters.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/error.h"

namespace gradus {
namespace {

bool starts_with(const std::string& text, const std::string& prefix) {
  return text.rfind(prefix, 0) == 0;
}

// Name prefixes of what method freeze trains.
std::vector<std::string> trained_prefixes(const FreezeRecipe& recipe, const ModelConfig& config) {
  const int64_t L = config.num_hidden_layers;
  std::vector<int64_t> layers = recipe.layers;
  for (int64_t i = std::max<int64_t>(0, L - recipe.last_layers.value_or(0)); i < L; ++i)
    layers.push_back(i);
  std::vector<std::string> prefixes;
  for (const int64_t layer : layers) {
    if (layer >= L)
      throw Error({.what = "the model has no such layer",
                   .where = "freeze.layers",
                   .expected = cat("layers below ", L),
                   .found = std::to_string(layer)});
    prefixes.push_back(config.names.layer(layer));
  }
  const TensorNames& names = config.names;
  if (recipe.embeddings || (recipe.head && config.tie_word_embeddings))
    prefixes.push_back(names.embedding + ".");
  if (recipe.embeddings && !names.positions.empty()) prefixes.push_back(names.positions + ".");
  if (recipe.head) prefixes.insert(prefixes.end(), {names.final_norm + ".", names.output + "."});
  return prefixes;
}

std::vector<NamedTensor> trained_tensors(Transformer& model, const TrainingRecipe& recipe) {
  if (recipe.method == TrainMethod::kLora) {
    const LoraConfig config = lora_config(recipe.lora_or_default());
    attach_lora(model, config, static_cast<uint64_t>(recipe.seed));
    std::vector<NamedTensor> tensors = lora_tensors(model);
    const auto saved = saved_tensors(model, LoraRules(config, "lora"));
    tensors.insert(tensors.end(), saved.begin(), saved.end());
    return tensors;
  }
  std::vector<NamedTensor> tensors = model.named_tensors();
  std::erase_if(tensors, [](const NamedTensor& tensor) { return tensor.is_buffer; });
  if (recipe.method == TrainMethod::kFull) return tensors;
  const auto prefixes = trained_prefixes(recipe.freeze.value_or(FreezeRecipe{}), model.config());
  std::erase_if(tensors, [&](const NamedTensor& tensor) {
    return std::none_of(prefixes.begin(), prefixes.end(), [&](const std::string& prefix) {
      return starts_with(tensor.name, prefix);
    });
  });
  return tensors;
}

// In the order of the first part of each leaf; parts of one leaf come in row order.
std::vector<TrainedParameter> group_by_leaf(const std::vector<NamedTensor>& tensors,
                                            const TensorNames& names, bool decay_embeddings) {
  std::vector<TrainedParameter> parameters;
  std::map<const void*, size_t> place;
  for (const NamedTensor& tensor : tensors) {
    const auto [entry, is_new] = place.emplace(tensor.leaf.unsafeGetTensorImpl(), place.size());
    if (is_new) {
      // RWKV's vectors have three dimensions or, one for each head, two.
      const bool matrix = tensor.leaf.squeeze().dim() > 1 && !tensor.name.ends_with(".r_k");
      const bool is_embedding =
          tensor.name == names.embedding + ".weight" || tensor.name == names.positions + ".weight";
      const bool decayed = matrix && (decay_embeddings || !is_embedding);
      parameters.push_back({.leaf = tensor.leaf, .parts = {}, .decayed = decayed});
    }
    auto& parts = parameters[entry->second].parts;
    const int64_t first = parts.empty() ? 0 : parts.back().first + parts.back().rows;
    parts.push_back({tensor.name, first, tensor.rows().size(0)});
  }
  return parameters;
}

}  // namespace

void check_trained_parts(const TrainingRecipe& recipe, const ModelConfig& config) {
  if (recipe.method == TrainMethod::kFreeze)
    trained_prefixes(recipe.freeze.value_or(FreezeRecipe{}), config);
}

LoraConfig lora_config(const LoraRecipe& recipe) {
  LoraConfig config{.rank = recipe.rank,
                    .alpha = recipe.alpha,
                    .use_rslora = recipe.use_rslora,
                    .use_dora = recipe.use_dora,
                    .lora_bias = recipe.lora_bias,
                    .target_modules = recipe.targets,
                    .rank_pattern = {recipe.rank_pattern.begin(), recipe.rank_pattern.end()},
                    .alpha_pattern = {recipe.alpha_pattern.begin(), recipe.alpha_pattern.end()},
                    .modules_to_save = recipe.modules_to_save};
  if (recipe.targets == std::vector<std::string>{"all-linear"})
    config.target_pattern = std::exchange(config.target_modules, {}).front();
  return config;
}

std::vector<TrainedParameter> choose_parameters(Transformer& model, const TrainingRecipe& recipe) {
  require_dense(model, "trained");
  for (const NamedTensor& tensor : model.named_tensors()) {
    at::Tensor leaf = tensor.leaf;
    leaf.requires_grad_(false);
  }
  auto parameters = group_by_leaf(trained_tensors(model, recipe), model.config().names,
                                  recipe.optimizer.decay_embeddings);
  for (TrainedParameter& parameter : parameters) parameter.leaf.requires_grad_(true);
  return parameters;
}

int64_t count_numbers(const std::vector<TrainedParameter>& parameters) {
  int64_t count = 0;
  for (const TrainedParameter& parameter : parameters) count += parameter.leaf.numel();
  return count;
}

}  // namespace gradus
