// SPDX-License-Identifier: Apache-2.0
// A linear projection: dense or quantised, one matrix product even where the model files hold
// several (q, k and v; gate and up), with optional low-rank adapters per part.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "model/lora_pair.h"
#include "tensor/quantized.h"

namespace gradus {

// One projection as the files name it: "model.layers.0.self_attn.q_proj", `rows` output features.
struct LinearPart {
  std::string name;
  int64_t rows = 0;
};

struct Linear {
  std::vector<LinearPart> parts;  // in row order
  int64_t in_features = 0;        // K
  at::Tensor weight;              // [N, K]; undefined when quantised
  at::Tensor bias;                // [N] or undefined
  std::shared_ptr<const QuantizedWeight> quantized;
  std::vector<LoraPair> lora;        // empty, or one per part (undefined tensors where not adapted)
  bool transposed_in_files = false;  // files hold the parts as [K, rows]
  bool kept_dense = false;           // its weight is also used in parts: never run quantised

  int64_t out_features() const;
  int64_t first_row(size_t part) const;
  // x [T, K] -> [T, N].
  at::Tensor forward(const at::Tensor& x) const;
};

// Uninitialised, of in_features columns.
Linear make_linear(std::vector<LinearPart> parts, int64_t in_features, bool with_bias,
                   const at::TensorOptions& options);

}  // namespace gradus
