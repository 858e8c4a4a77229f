// SPDX-License-Identifier: Apache-2.0
// Where each tensor of a GGUF file belongs in a Hugging Face checkpoint.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "model/formats/gguf_config.h"
#include "model/formats/safetensors.h"

namespace gradus {

struct PlacedTensor {
  std::string name;  // "model.layers.0.self_attn.q_proj.weight"
  const GgufTensor* source;
  // Heads whose rows are interleaved and must be put back; 0: rows are taken as they are.
  int64_t interleaved_heads = 0;
};

// Every tensor of the file once. Throws listing what is missing, misshapen and left over.
std::vector<PlacedTensor> place_gguf_tensors(const GgufFile& file, const GgufModel& model);

// The format that tensors are converted to.
struct FloatFormat {
  const char* name;         // "bfloat16"
  const char* safetensors;  // "BF16"
  int64_t bytes;
};
const FloatFormat& float_format(const std::string& name);  // throws for unknown names

// Sources that convert their tensor when asked (all of one call's sources share one buffer, and
// `file` must outlive them). They throw naming the tensor when a value is not finite in `format`.
std::vector<TensorSource> convert_gguf_tensors(const std::vector<PlacedTensor>& tensors,
                                               const FloatFormat& format, const std::string& where);

}  // namespace gradus
