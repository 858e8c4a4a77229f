// SPDX-License-Identifier: Apache-2.0
#include "model/lora.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/error.h"
#include "base/hash.h"
#include "base/rng.h"

namespace gradus {
namespace {

std::string last_part(const std::string& name) { return name.substr(name.rfind('.') + 1); }

// Where else would the adapter's bias go when it is merged?
void require_bias(const Linear& layer, size_t part) {
  if (layer.bias.defined()) return;
  throw Error({.what = "lora_bias needs a projection that has a bias",
               .where = layer.parts[part].name,
               .hint = "without one the adapter cannot become part of the model"});
}

// Kaiming-uniform with a = sqrt(5), as PEFT initialises A: uniform in ±1/sqrt(K). Each tensor has
// a stream of its own, so that the values do not depend on which others exist.
at::Tensor initial_a(int64_t rank, int64_t columns, uint64_t seed, const std::string& name) {
  at::Tensor a = at::empty({rank, columns}, at::kFloat);
  const double bound = 1.0 / std::sqrt(static_cast<double>(columns));
  const uint64_t stream = xxh3(name);
  auto* out = a.data_ptr<float>();
  for (int64_t i = 0; i < a.numel(); ++i) {
    out[i] = static_cast<float>((2 * random_uniform(seed, stream, static_cast<uint64_t>(i)) - 1) *
                                bound);
  }
  return a;
}

LoraPair new_pair(const AdaptablePart& at, const Transformer& model, const LoraRules& rules,
                  uint64_t seed) {
  const auto& [name, rows] = at.name();
  const auto options = at::TensorOptions().dtype(model.dtype()).device(model.device());
  const int64_t rank = rules.rank(name);
  return {.a = initial_a(rank, at.layer.in_features, seed, name).to(options),
          .b = at::zeros({rows, rank}, options),
          .scale = rules.scale(name)};
}

at::Tensor new_bias(const AdaptablePart& at) {
  require_bias(at.layer, at.part);
  return at::zeros({at.name().rows}, at.layer.bias.options().requires_grad(false));
}

[[noreturn]] void matches_nothing(const std::string& key, const std::string& name,
                                  const std::set<std::string>& known) {
  std::string list;
  for (const std::string& other : known) list += (list.empty() ? "" : ", ") + other;
  throw Error({.what = key + " '" + printable(name) + "' matches nothing in the model",
               .expected = "some of " + list});
}

// A name that matches nothing is a typing error, and would silently train less.
void check_targets(Transformer& model, const LoraConfig& config) {
  std::set<std::string> known;
  std::vector<std::string> modules;
  for_each_adaptable(model, [&](const AdaptablePart& at) {
    modules.push_back(at.name().name);
    known.insert(last_part(at.name().name));
  });
  for (const std::string& target : config.target_modules) {
    const bool found = std::any_of(modules.begin(), modules.end(), [&](const std::string& module) {
      return module == target || module.ends_with("." + target);
    });
    if (!found) matches_nothing("adapter target", target, known);
  }
}

// Parts of one product are one leaf, so they are trained together or not at all.
void check_saved(const Transformer& model, const LoraConfig& config, const LoraRules& rules) {
  std::set<std::string> known;
  std::vector<std::string> modules;
  for (const NamedTensor& named : model.named_tensors()) {
    modules.push_back(named.name.substr(0, named.name.rfind('.')));
    known.insert(last_part(modules.back()));
  }
  for (const std::string& name : config.modules_to_save) {
    const bool found = std::any_of(modules.begin(), modules.end(), [&](const std::string& module) {
      return module.ends_with(name) || module.find(name + ".") != std::string::npos;
    });
    if (!found) matches_nothing("modules_to_save", name, known);
  }
  std::map<const void*, int64_t> missing;
  std::map<const void*, std::string> name_of;
  for (const NamedTensor& named : saved_tensors(model, rules)) {
    const void* leaf = named.leaf.unsafeGetTensorImpl();
    missing.emplace(leaf, named.leaf.numel()).first->second -= named.tensor.numel();
    name_of[leaf] = named.name;
  }
  for (const auto& [leaf, count] : missing) {
    if (count == 0) continue;
    throw Error({.what = name_of[leaf] + " runs as one product with others",
                 .where = "modules_to_save",
                 .hint = "name all of them or none"});
  }
}

void untie_if_saved(Transformer& model, const LoraRules& rules) {
  if (rules.is_saved(embedding_module(model) + ".weight") ||
      rules.is_saved(model.output.parts[0].name + ".weight"))
    model.untie_output();
}

void merge_layer(Linear& layer) {
  for (size_t part = 0; part < layer.lora.size(); ++part) {
    const LoraPair& pair = layer.lora[part];
    if (!pair.a.defined()) continue;
    if (!layer.weight.defined())
      throw Error({.what = "an adapter cannot be merged into a quantised weight",
                   .where = layer.parts[part].name});
    at::Tensor rows =
        layer.weight.detach().narrow(0, layer.first_row(part), layer.parts[part].rows);
    rows.copy_(merged_weight(rows, pair));
    if (!pair.bias.defined()) continue;
    require_bias(layer, part);
    at::Tensor bias = layer.bias.detach().narrow(0, layer.first_row(part), rows.size(0));
    bias.add_(pair.bias, pair.scale);
  }
  layer.lora.clear();
}

void merge_embedding(Transformer& model) {
  if (!model.embedding_lora.a.defined()) return;
  at::Tensor rows = model.embedding.detach().t();  // [D, V], as B A is
  rows.copy_(merged_weight(rows, model.embedding_lora));
  model.embedding_lora = {};
}

}  // namespace

LoraPair& AdaptablePart::pair() const {
  layer.lora.resize(layer.parts.size());
  return layer.lora[part];
}

void for_each_adaptable(Transformer& model,
                        const std::function<void(const AdaptablePart&)>& visit) {
  bool output_seen = false;
  const auto visit_parts = [&](Linear& layer) {
    const bool is_output = &layer == &model.output;
    output_seen |= is_output;
    for (size_t part = 0; part < layer.parts.size(); ++part)
      visit({layer, part, is_output ? ModuleKind::kOutput : ModuleKind::kLinear});
  };
  model.for_each_linear(visit_parts);
  if (!output_seen) visit_parts(model.output);
}

std::string embedding_module(const Transformer& model) {
  for (const NamedTensor& named : model.named_tensors()) {
    if (named.leaf.is_same(model.embedding)) return named.name.substr(0, named.name.rfind('.'));
  }
  throw std::logic_error("the embedding has no name");
}

void attach_lora(Transformer& model, const LoraConfig& config, uint64_t seed) {
  const at::NoGradGuard no_gradients;
  const LoraRules rules(config, "adapter");
  check_targets(model, config);
  if (rules.is_target(embedding_module(model), ModuleKind::kEmbedding))
    throw Error({.what = std::string("an adapter of the embedding cannot be trained"),
                 .hint = "train the embedding itself: modules_to_save: [embed_tokens]"});
  untie_if_saved(model, rules);  // first: a tied output has no name of its own
  check_saved(model, config, rules);
  for_each_adaptable(model, [&](const AdaptablePart& at) {
    if (!rules.is_target(at.name().name, at.kind)) return;
    LoraPair& pair = at.pair() = new_pair(at, model, rules, seed);
    if (config.lora_bias) pair.bias = new_bias(at);
    if (!config.use_dora) return;
    pair.magnitude = row_lengths(
        at.layer.weight.detach().narrow(0, at.layer.first_row(at.part), at.name().rows));
  });
}

std::vector<NamedTensor> lora_tensors(const Transformer& model) {
  std::vector<NamedTensor> list;
  const auto add = [&](const std::string& name, const at::Tensor& tensor) {
    if (tensor.defined()) list.push_back({name, tensor.detach(), tensor});
  };
  const auto add_layer = [&](const Linear& layer) {
    for (size_t part = 0; part < layer.lora.size(); ++part) {
      const std::string& name = layer.parts[part].name;
      add(name + ".lora_A.weight", layer.lora[part].a);
      add(name + ".lora_B.weight", layer.lora[part].b);
      add(name + ".lora_B.bias", layer.lora[part].bias);
      add(name + ".lora_magnitude_vector", layer.lora[part].magnitude);
    }
  };
  for_each_adaptable(const_cast<Transformer&>(model), [&](const AdaptablePart& at) {
    if (at.part == 0) add_layer(at.layer);
  });
  if (!model.embedding_lora.a.defined()) return list;
  add(embedding_module(model) + ".lora_embedding_A", model.embedding_lora.a);
  add(embedding_module(model) + ".lora_embedding_B", model.embedding_lora.b);
  return list;
}

std::vector<NamedTensor> saved_tensors(const Transformer& model, const LoraRules& rules) {
  std::vector<NamedTensor> list = model.named_tensors();
  std::erase_if(list, [&](const NamedTensor& named) { return !rules.is_saved(named.name); });
  return list;
}

void merge_lora(Transformer& model) {
  const at::NoGradGuard no_gradients;
  if (model.embedding_lora.a.defined() || !model.output.lora.empty()) model.untie_output();
  for_each_adaptable(model, [](const AdaptablePart& at) {
    if (at.part == 0) merge_layer(at.layer);
  });
  merge_embedding(model);
}

}  // namespace gradus
