// SPDX-License-Identifier: Apache-2.0
// Low-rank adapters on a model in memory (LoRA: Hu et al. 2021; rsLoRA: Kalajdzievski 2023; DoRA:
// Liu et al. 2024).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "model/formats/lora_config.h"
#include "model/transformer.h"

namespace gradus {

// One part of a projection: layer.parts[part].
struct AdaptablePart {
  Linear& layer;
  size_t part;
  ModuleKind kind;

  const LinearPart& name() const { return layer.parts[part]; }
  LoraPair& pair() const;  // made undefined where there was none
};
// Every projection's parts, the output's too when it shares the embedding.
void for_each_adaptable(Transformer& model, const std::function<void(const AdaptablePart&)>& visit);
// "model.embed_tokens": what files call the embedding, without ".weight".
std::string embedding_module(const Transformer& model);

// New adapters for the projections that the configuration names: A Kaiming-uniform from `seed`, B
// zero, magnitudes the rows' lengths, so that the model's output is unchanged. An output projection
// that shares a weight with the embedding gets its own when one of the two is in modules_to_save.
// Throws when a name matches nothing, and for adapters of embeddings.
void attach_lora(Transformer& model, const LoraConfig& config, uint64_t seed);

// What an adapter file holds, named as there without "base_model.model.": the adapters' tensors,
// and the base's own tensors of modules_to_save. `rules` decides about the latter only.
std::vector<NamedTensor> lora_tensors(const Transformer& model);
std::vector<NamedTensor> saved_tensors(const Transformer& model, const LoraRules& rules);

// Every adapter becomes part of its weight, computed in fp32 and rounded once; the adapters are
// removed. An output projection that shares a weight with the embedding gets its own when one of
// the two is adapted.
void merge_lora(Transformer& model);

}  // namespace gradus
