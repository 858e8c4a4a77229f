// SPDX-License-Identifier: Apache-2.0
// One forward pass over new tokens of several cached sequences.
#pragma once

#include <cstdint>
#include <vector>

#include "infer/kv_cache.h"
#include "model/transformer.h"

namespace gradus {

struct PassSegment {
  int64_t slot = 0;
  int64_t past = 0;
  std::vector<int32_t> ids;  // new tokens, at least one
  bool all_rows = false;     // logits of every new token; else of the last one only
  // Of the sequence where more of it is known than past and ids: the whole prompt's, in each of its
  // parts.
  int64_t length = 0;
};

// Logits in fp32 on the CPU, [rows, V]: the wanted rows of each segment, in order. The cache then
// holds past + ids.size() tokens of each slot. No gradients.
at::Tensor run_pass(const Transformer& model, KvCache& cache,
                    const std::vector<PassSegment>& segments);
// The same without logits: fills the cache only.
void run_prefill(const Transformer& model, KvCache& cache,
                 const std::vector<PassSegment>& segments);

}  // namespace gradus
