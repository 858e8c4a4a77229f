// SPDX-License-Identifier: Apache-2.0
// The numbers of tensors on their way between a GGUF file and a checkpoint.
#pragma once

#include <string>
#include <vector>

#include "model/formats/gguf_mixture.h"
#include "model/formats/gguf_write.h"
#include "model/formats/safetensors.h"
#include "model/gguf/places.h"

namespace gradus {

// The format that tensors are converted to.
struct FloatFormat {
  const char* name;         // "bfloat16"
  const char* safetensors;  // "BF16"
  int64_t bytes;
};
const FloatFormat& float_format(const std::string& name);  // throws for unknown names

// Sources that convert their tensor when asked (all of one call's sources share one buffer, and
// the file must outlive them). They throw naming the tensor when a value is not finite in `format`.
std::vector<TensorSource> tensors_from_gguf(const std::vector<PlacedTensor>& tensors,
                                            const FloatFormat& format, const std::string& where);

// The other way round: a place, the stored tensor of each of its slices, and the type to write.
struct GgufTensorJob {
  const GgufPlace* place;
  std::vector<const StoredTensor*> stored;
  GgufType type = GgufType::kF32;
  std::string where = {};  // for errors
};
std::vector<GgufTensorSource> tensors_to_gguf(const std::vector<GgufTensorJob>& jobs);

}  // namespace gradus
