// SPDX-License-Identifier: Apache-2.0
// A packed batch as tensors on the device, and the forward pass over it.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "data/packing.h"
#include "model/transformer.h"

namespace gradus {

struct Batch {
  at::Tensor ids, positions, targets;  // [T] int64
  std::vector<int64_t> segment_starts;
  int64_t supervised_tokens = 0;
};

Batch to_device(const PackedBatch& packed, c10::Device device);

// `attention` must live until the backward pass is over: recomputed layers use it again.
inline at::Tensor forward(const Transformer& model, const Batch& batch, Attention& attention) {
  return model.forward(batch.ids, batch.positions, attention);  // [T, D]
}

}  // namespace gradus
