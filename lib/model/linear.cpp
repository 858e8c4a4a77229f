// SPDX-License-Identifier: Apache-2.0
#include "model/linear.h"

#include <ATen/ops/empty.h>

#include "tensor/ops.h"

namespace gradus {
namespace {

// The adapters' contributions, added to y at the rows of their parts.
at::Tensor add_lora(const Linear& layer, const at::Tensor& x, const at::Tensor& y) {
  std::vector<ops::ColumnUpdate> updates;
  for (size_t part = 0; part < layer.lora.size(); ++part) {
    if (!layer.lora[part].a.defined()) continue;
    const int64_t first = layer.first_row(part), rows = layer.parts[part].rows;
    const auto part_of = [&](const at::Tensor& tensor) {
      return tensor.defined() ? tensor.narrow(0, first, rows) : tensor;
    };
    const LoraBase base{part_of(layer.weight), part_of(layer.bias), y.narrow(1, first, rows)};
    updates.push_back({first, lora_update(layer.lora[part], x, base)});
  }
  return ops::add_to_columns(y, updates);
}

}  // namespace

Linear make_linear(std::vector<LinearPart> parts, int64_t in_features, bool with_bias,
                   const at::TensorOptions& options) {
  Linear layer;
  layer.parts = std::move(parts);
  layer.in_features = in_features;
  layer.weight = at::empty({layer.out_features(), in_features}, options);
  if (with_bias) layer.bias = at::empty({layer.out_features()}, options);
  return layer;
}

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
