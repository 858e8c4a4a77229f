// SPDX-License-Identifier: Apache-2.0
#include "model/linear.h"

#include <ATen/TensorOperators.h>

#include "tensor/ops.h"

namespace gradus {
namespace {

// The adapters' contributions, added to y at the rows of their parts. The scale goes to the narrow
// product in the middle, where it costs nothing.
at::Tensor add_lora(const Linear& layer, const at::Tensor& x, const at::Tensor& y) {
  std::vector<ops::ColumnUpdate> updates;
  for (size_t part = 0; part < layer.lora.size(); ++part) {
    const LoraPair& pair = layer.lora[part];
    if (!pair.a.defined()) continue;
    const at::Tensor narrow = ops::linear(x, pair.a, {}) * pair.scale;  // [T, r]
    updates.push_back({layer.first_row(part), ops::linear(narrow, pair.b, {})});
  }
  return ops::add_to_columns(y, updates);
}

}  // namespace

int64_t Linear::out_features() const { return first_row(parts.size()); }

int64_t Linear::first_row(size_t part) const {
  int64_t row = 0;
  for (size_t i = 0; i < part; ++i) row += parts[i].rows;
  return row;
}

at::Tensor Linear::forward(const at::Tensor& x) const {
  const at::Tensor y =
      quantized ? ops::quantized_linear(x, *quantized, bias) : ops::linear(x, weight, bias);
  return lora.empty() ? y : add_lora(*this, x, y);
}

}  // namespace gradus
