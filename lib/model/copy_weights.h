// SPDX-License-Identifier: Apache-2.0
// Stored tensors into the tensors of a model: read in parallel, in pieces, straight to the target's
// dtype, so that no second copy of the model is in memory.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "model/formats/safetensors.h"

namespace gradus {

struct WeightCopy {
  std::string place;  // file and tensor, for errors
  const StoredTensor* stored;
  at::Tensor target;  // allocated, of the stored shape; any device and strides
};

// Throws gradus::Error naming the place of a tensor that holds NaN or infinity in the target's
// dtype.
void copy_weights(const std::vector<WeightCopy>& copies);

// The stored numbers as they are, on the CPU.
at::Tensor read_stored(const StoredTensor& stored, const std::string& place);

}  // namespace gradus
