// SPDX-License-Identifier: Apache-2.0
// Which type each tensor gets in a file of a given type, by llama.cpp's rules (llama-quant.cpp,
// llama_tensor_get_type, without an importance matrix).
#pragma once

#include <span>
#include <string>

#include "model/formats/gguf.h"

namespace gradus {

// A file type as users name it.
struct GgufFileType {
  const char* name;  // "Q4_K_M"
  uint32_t number;   // general.file_type
  GgufType base;     // of most matrices
  bool more_bits;    // the _M mixtures: half of attn_v and ffn_down get Q6_K
};

std::span<const GgufFileType> gguf_file_types();
// Throws UsageError naming the known ones.
const GgufFileType& gguf_file_type(const std::string& name);

struct GgufMixtureModel {
  int64_t layers = 0;
  bool tied = false;         // the embedding is the output projection too
  bool grouped_70b = false;  // llama.cpp's 70B class: 80 layers whose heads share keys and values
  bool eight_experts = false;
  bool falcon = false;
};

// `name` as in the file ("blk.3.attn_v.weight"). Vectors, norms, routers
// and learned positions are F32. Rows that are not a
// whole number of blocks get the fallback type: Q5_0, Q5_1 or Q8_0, and F16 where 32 does not
// divide the row either.
GgufType gguf_tensor_type(const GgufFileType& file, const GgufMixtureModel& model,
                          const std::string& name, std::span<const int64_t> shape);

}  // namespace gradus
