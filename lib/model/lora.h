// SPDX-License-Identifier: Apache-2.0
// Low-rank adapters (Hu et al. 2021; rsLoRA: Kalajdzievski 2023), stored as PEFT stores them:
// adapter_config.json and adapter_model.safetensors.
#pragma once

#include <string>
#include <vector>

#include "base/files.h"
#include "model/transformer.h"

namespace gradus {

struct LoraConfig {
  int64_t rank = 16;
  double alpha = 32;
  bool rank_stabilised = false;  // scale alpha/sqrt(rank) in place of alpha/rank
  // Last parts of projection names: "q_proj", "down_proj", …, "lm_head".
  std::vector<std::string> target_modules;

  double scale() const;
};

// Adds adapters to every projection whose name ends in a target: A Kaiming-uniform from `seed`, B
// zero, so that the model's output is unchanged. Throws when a target matches no projection.
void attach_lora(Transformer& model, const LoraConfig& config, uint64_t seed);

// The adapters' tensors, named as in adapter_model.safetensors without "base_model.model.".
std::vector<NamedTensor> lora_tensors(const Transformer& model);

// W += scale · B A for every adapter, computed in fp32 and rounded once; the adapters are removed.
void merge_lora(Transformer& model);

// adapter_config.json and adapter_model.safetensors into an existing folder.
void save_adapter(const fs::path& folder, const Transformer& model, const LoraConfig& config,
                  const std::string& base_model);
// Attaches a saved adapter; every tensor must fit and be used.
LoraConfig load_adapter(Transformer& model, const fs::path& folder);

}  // namespace gradus
