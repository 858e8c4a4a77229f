// SPDX-License-Identifier: Apache-2.0
// Projections of quantised checkpoints, whoever wrote them. What the kernels compute with (4 or 8
// bits, symmetric, groups in order) stays quantised, bit for bit; everything else is expanded to
// the model's dtype when it is loaded.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "model/formats/safetensors.h"
#include "model/quantization_config.h"
#include "tensor/quantized.h"

namespace gradus {

// One tensor of a stored projection. An empty shape: any, checked when it is read.
struct StoredSpec {
  std::string suffix;  // ".weight_packed"
  std::vector<int64_t> shape = {};
  bool optional = false;
};

// The tensors that a projection [rows, columns] consists of.
std::vector<StoredSpec> stored_specs(const QuantizationConfig& config, int64_t rows,
                                     int64_t columns);
// The suffix by which a quantised projection is told from a dense one.
const char* stored_mark(const QuantizationConfig& config);

using StoredProjection = std::map<std::string, const StoredTensor*>;  // by suffix

// `exact` where the kernels compute with the stored integers, else fp32 `dense` [rows, columns].
struct ProjectionWeight {
  std::optional<QuantizedTensor> exact;
  at::Tensor dense;
};

// Throws gradus::Error naming `where` for shapes, dtypes and values that do not fit together.
ProjectionWeight read_projection(const QuantizationConfig& config, const StoredProjection& stored,
                                 int64_t rows, int64_t columns, const std::string& where);

// q · scale of an exact one, fp32.
at::Tensor dense_weight(const ProjectionWeight& weight, int64_t columns);

}  // namespace gradus
