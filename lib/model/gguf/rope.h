// SPDX-License-Identifier: Apache-2.0
// The rotary scaling of a GGUF file and of a model.
#pragma once

#include <string>
#include <vector>

#include "model/formats/gguf_write.h"
#include "model/gguf/architecture.h"

namespace gradus {

// config.json's rope_scaling: null, or {"rope_type": "linear" | "yarn" | "llama3" | "longrope", …}
// for a rotary embedding of `width` numbers. Llama 3's scaling is stored as the tensor
// rope_freqs.weight of frequency divisors; its parameters are recovered and verified. Throws
// naming the key or tensor for any other scaling.
Json gguf_rope_scaling(const GgufSource& source, int64_t width);

// A model's scaling as keys relative to the architecture, and as tensors [width / 2].
GgufMetadata gguf_rope_keys(const ModelConfig& config);
struct GgufRopeTensor {
  std::string name;
  std::vector<float> values;
};
std::vector<GgufRopeTensor> gguf_rope_tensors(const ModelConfig& config);

}  // namespace gradus
