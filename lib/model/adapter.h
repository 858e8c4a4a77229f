// SPDX-License-Identifier: Apache-2.0
// Adapters on disk, as PEFT stores them: adapter_config.json and adapter_model.safetensors. Format:
// docs/format_adapter.md.
#pragma once

#include <map>
#include <string>

#include "base/files.h"
#include "model/lora.h"

namespace gradus {

// An adapter in memory: fp32, on the CPU, complete and finite, with the ranks that its
// configuration says. Whether it fits a model shows when it is attached.
struct Adapter {
  std::string place;  // its folder, for messages
  LoraConfig config;
  std::map<std::string, LoraPair> pairs;         // by module
  std::map<std::string, LoraPair> embeddings;    // a [r, V], b [D, r]; by module
  std::map<std::string, LoraPair> stacked;       // a [r · E, K], b [N, r · E]; by parameter
  std::map<std::string, at::Tensor> token_rows;  // rows [n, D] of trainable_tokens; by module
  std::map<std::string, at::Tensor> tensors;     // stored whole, by their name in the base
};

// Throws gradus::Error unless `folder` holds an adapter that can be read.
void require_adapter_folder(const fs::path& folder);
// Throws gradus::Error naming the file and tensor for anything missing, unknown, misshapen or not
// finite.
Adapter read_adapter(const fs::path& folder);

// Attaches it to the model; tensors that are stored whole replace the model's. Everything must fit
// and be used: the model is unchanged when this throws.
void attach_adapter(Transformer& model, const Adapter& adapter);

// What attach_lora attached and modules_to_save names, into an existing folder.
void save_adapter(const fs::path& folder, const Transformer& model, const LoraConfig& config);

}  // namespace gradus
