// SPDX-License-Identifier: Apache-2.0
#include "infer/recurrent_state.h"

#include <ATen/ops/zeros.h>

#include "model/recurrent.h"

namespace gradus {

RecurrentState::RecurrentState(const ModelConfig& config, int64_t layers, int64_t rows,
                               c10::ScalarType dtype, c10::Device device) {
  if (config.recurrent.kind == RecurrentKind::kNone) return;
  const auto make = [&](RecurrentPart part) {
    std::vector<int64_t> sizes = recurrent_state_sizes(config, part);
    sizes.insert(sizes.begin(), rows);
    const bool state = part == RecurrentPart::kState;
    return at::zeros(sizes, at::TensorOptions().dtype(state ? at::kFloat : dtype).device(device));
  };
  for (int64_t layer = 0; layer < layers; ++layer)
    layers_.push_back({make(RecurrentPart::kTimeShift), make(RecurrentPart::kChannelShift),
                       make(RecurrentPart::kState)});
}

void RecurrentState::copy_row(int64_t from, int64_t to) {
  for (auto& parts : layers_) {
    for (at::Tensor& rows : parts) rows.select(0, to).copy_(rows.select(0, from));
  }
}

int64_t RecurrentState::bytes() const {
  int64_t total = 0;
  for (const auto& parts : layers_) {
    for (const at::Tensor& rows : parts) total += static_cast<int64_t>(rows.nbytes());
  }
  return total;
}

}  // namespace gradus
