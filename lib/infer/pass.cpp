// SPDX-License-Identifier: Apache-2.0
#include "infer/pass.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>

namespace gradus {
namespace {

// The flat tokens of a pass and the rows whose logits are wanted.
struct FlatTokens {
  at::Tensor ids, positions;  // [T] int64, CPU
  std::vector<int64_t> wanted;
  std::vector<CachedSegment> segments;
};

FlatTokens flatten(const std::vector<PassSegment>& segments) {
  int64_t total = 0;
  for (const PassSegment& segment : segments) total += static_cast<int64_t>(segment.ids.size());
  FlatTokens flat{at::empty({total}, at::kLong), at::empty({total}, at::kLong), {}, {}};
  auto *ids = flat.ids.data_ptr<int64_t>(), *positions = flat.positions.data_ptr<int64_t>();
  int64_t row = 0;
  for (const PassSegment& segment : segments) {
    const auto count = static_cast<int64_t>(segment.ids.size());
    flat.segments.push_back(
        {segment.slot, segment.past, count, std::max(segment.length, segment.past + count)});
    for (int64_t i = 0; i < count; ++i, ++row) {
      ids[row] = segment.ids[static_cast<size_t>(i)];
      positions[row] = segment.past + i;
      if (segment.all_rows || i + 1 == count) flat.wanted.push_back(row);
    }
  }
  return flat;
}

at::Tensor hidden_states(const Transformer& model, KvCache& cache, const FlatTokens& flat) {
  CachedAttention attention(cache, flat.segments);
  return model.forward(flat.ids.to(model.device()), flat.positions.to(model.device()), attention);
}

at::Tensor rows_of(const at::Tensor& hidden, const std::vector<int64_t>& rows) {
  if (static_cast<int64_t>(rows.size()) == hidden.size(0)) return hidden;
  at::Tensor index = at::empty({static_cast<int64_t>(rows.size())}, at::kLong);
  std::copy(rows.begin(), rows.end(), index.data_ptr<int64_t>());
  return at::index_select(hidden, 0, index.to(hidden.device()));
}

}  // namespace

at::Tensor run_pass(const Transformer& model, KvCache& cache,
                    const std::vector<PassSegment>& segments) {
  const c10::InferenceMode no_gradients;
  const FlatTokens flat = flatten(segments);
  const at::Tensor hidden = hidden_states(model, cache, flat);
  return model.logits(rows_of(hidden, flat.wanted)).to(at::kCPU, at::kFloat).contiguous();
}

void run_prefill(const Transformer& model, KvCache& cache,
                 const std::vector<PassSegment>& segments) {
  const c10::InferenceMode no_gradients;
  hidden_states(model, cache, flatten(segments));
}

}  // namespace gradus
