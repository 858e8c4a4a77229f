// SPDX-License-Identifier: Apache-2.0
// The states of recurrent layers: rows of one size, whatever the length of a sequence.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <vector>

#include "model/attention.h"
#include "model/config.h"

namespace gradus {

class RecurrentState {
 public:
  // Rows of every part for each of `layers` layers; nothing for models without recurrent layers.
  // Token shifts are kept in `dtype`, recurrences in fp32.
  RecurrentState(const ModelConfig& config, int64_t layers, int64_t rows, c10::ScalarType dtype,
                 c10::Device device);
  RecurrentState() = default;

  bool empty() const { return layers_.empty(); }
  // [rows, ...] as ops::token_shift, wkv4 and wkv7 say.
  const at::Tensor& rows(int64_t layer, RecurrentPart part) const {
    return layers_[static_cast<size_t>(layer)][static_cast<size_t>(part)];
  }
  void copy_row(int64_t from, int64_t to);
  int64_t bytes() const;

 private:
  std::vector<std::array<at::Tensor, 3>> layers_;  // by part
};

}  // namespace gradus
