// SPDX-License-Identifier: Apache-2.0
// Where each tensor of a GGUF file belongs in a Hugging Face checkpoint, and the other way round.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "model/formats/gguf_config.h"
#include "model/formats/safetensors.h"

namespace gradus {

// A tensor under both of its names. The shape is the same in both.
struct TensorPlace {
  std::string gguf, hf;  // "blk.0.attn_q.weight", "model.layers.0.self_attn.q_proj.weight"
  std::vector<int64_t> shape;
  int64_t interleaved_heads = 0;  // heads whose rows are interleaved in the GGUF file; 0: none
};

// All tensors of a model with that many layers, in the order in which a file holds them.
std::vector<TensorPlace> gguf_tensor_places(const GgufModel& model, int64_t layers);

// The row of a checkpoint's tensor that lies at `row` of the file, inside heads of `head_dim` rows;
// and the other way round.
int64_t checkpoint_row(int64_t row, int64_t head_dim);
int64_t interleaved_row(int64_t row, int64_t head_dim);

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
