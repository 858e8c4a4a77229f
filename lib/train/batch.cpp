// SPDX-License-Identifier: Apache-2.0
#include "train/batch.h"

#include <ATen/ops/empty.h>

#include <algorithm>

namespace gradus {
namespace {

at::Tensor to_tensor(const std::vector<int32_t>& values, c10::Device device) {
  at::Tensor wide = at::empty({static_cast<int64_t>(values.size())}, at::kLong);
  std::copy(values.begin(), values.end(), wide.data_ptr<int64_t>());
  return wide.to(device);
}

}  // namespace

Batch to_device(const PackedBatch& packed, c10::Device device) {
  return {.ids = to_tensor(packed.ids, device),
          .positions = to_tensor(packed.positions, device),
          .targets = to_tensor(packed.targets, device),
          .segment_starts = {packed.segment_starts.begin(), packed.segment_starts.end()},
          .supervised_tokens = packed.supervised_tokens};
}

}  // namespace gradus
