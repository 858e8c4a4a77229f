// SPDX-License-Identifier: Apache-2.0
#include "train/student.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/error.h"

namespace gradus {
namespace {

std::vector<int64_t> asked_layers(const StudentRecipe& recipe, int64_t layers) {
  if (!recipe.keep_layers.empty()) return recipe.keep_layers;
  std::vector<int64_t> all(static_cast<size_t>(layers));
  std::iota(all.begin(), all.end(), 0);
  if (recipe.keep_every) std::erase_if(all, [&](int64_t i) { return i % *recipe.keep_every != 0; });
  if (recipe.keep_first || recipe.keep_last) {
    const int64_t first = recipe.keep_first.value_or(0),
                  last = layers - recipe.keep_last.value_or(0);
    std::erase_if(all, [&](int64_t i) { return i >= first && i < last; });
  }
  return all;
}

void refuse(const std::string& what, const std::string& found, int64_t layers) {
  throw Error({.what = what,
               .where = "student",
               .expected = cat("different layers from 0 to ", layers - 1),
               .found = found});
}

}  // namespace

std::vector<int64_t> kept_layers(const StudentRecipe& recipe, int64_t layers) {
  std::vector<int64_t> kept = asked_layers(recipe, layers);
  std::sort(kept.begin(), kept.end());
  if (kept.empty()) refuse("keeps no layer", "none", layers);
  if (kept.back() >= layers) refuse("keeps a layer that the model lacks", cat(kept.back()), layers);
  const auto twice = std::adjacent_find(kept.begin(), kept.end());
  if (twice != kept.end()) refuse("keeps a layer twice", cat(*twice), layers);
  const int64_t asked = recipe.keep_first.value_or(0) + recipe.keep_last.value_or(0);
  if (asked > layers) refuse("keeps more layers than there are", cat(asked), layers);
  return kept;
}

Transformer keep_layers(const Transformer& model, const std::vector<int64_t>& layers) {
  require_dense(model, "made into a student");
  const at::NoGradGuard no_gradients;
  ModelConfig config = model.config();
  if (config.recurrent.kind != RecurrentKind::kNone && layers.front() != 0)
    throw Error({.what = "the first layer of a recurrent model cannot be left out",
                 .where = "student",
                 .hint = "keep layer 0 as well"});
  config.num_hidden_layers = static_cast<int64_t>(layers.size());
  const auto keep = [&](std::vector<int64_t>& per_layer) {
    if (per_layer.empty()) return;
    const std::vector<int64_t> before = std::exchange(per_layer, {});
    for (const int64_t layer : layers) per_layer.push_back(before[static_cast<size_t>(layer)]);
  };
  keep(config.layer_window);
  keep(config.layer_rope);
  keep(config.layer_moe);
  Transformer student(config, model.dtype(), model.device());

  // The student's tensors in order are the model's with other layers left out.
  const std::vector<NamedTensor> all = model.named_tensors();
  const TensorNames& names = config.names;
  const auto is_of = [&](const NamedTensor& tensor, int64_t layer) {
    return tensor.name.rfind(names.layer(layer), 0) == 0;
  };
  const auto is_kept = [&](const NamedTensor& tensor) {
    if (tensor.name.rfind(names.layers, 0) != 0) return true;
    return std::any_of(layers.begin(), layers.end(),
                       [&](int64_t layer) { return is_of(tensor, layer); });
  };
  size_t next = 0;
  const std::vector<NamedTensor> own = student.named_tensors();
  for (const NamedTensor& source : all) {
    if (!is_kept(source)) continue;
    at::Tensor target = own.at(next++).tensor;
    target.copy_(source.tensor);
  }
  TORCH_CHECK(next == own.size(), "student and model do not match");
  return student;
}

}  // namespace gradus
