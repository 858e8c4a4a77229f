// SPDX-License-Identifier: Apache-2.0
// A ModelConfig in GGUF's terms.
#pragma once

#include <string>
#include <vector>

#include "model/config.h"
#include "model/formats/gguf_config.h"
#include "model/formats/gguf_write.h"

namespace gradus {

// The sizes that name and shape the tensors. Throws naming `where` and the key for a family or a
// setting that llama.cpp's architecture does not have.
GgufModel gguf_model_of(const ModelConfig& config, const std::string& where);

// The architecture's keys: "llama.block_count", …
GgufMetadata gguf_architecture_keys(const ModelConfig& config);
// "llama", "qwen2" or "qwen3".
std::string gguf_architecture(const ModelConfig& config);

// rope_freqs.weight [Dh/2], the divisors of Llama 3's scaling; empty without it.
std::vector<float> gguf_rope_divisors(const ModelConfig& config);

// "135M": general.size_label.
std::string gguf_size_label(int64_t parameters);

}  // namespace gradus
