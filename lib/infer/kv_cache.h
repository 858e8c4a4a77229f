// SPDX-License-Identifier: Apache-2.0
// Keys and values of running sequences. A slot holds one sequence; all memory is taken at once and
// nothing is copied or grown while tokens are added. Layout per layer: [slots, Hkv, capacity, Dh],
// so that a head's keys are one stream for the decode kernel. Latent attention keeps one vector per
// token in place of all heads' keys and values: [slots, 1, capacity, kv_rank + rope_dim]. Of a
// model with recurrent layers a slot holds one state in place of keys and values.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <map>
#include <vector>

#include "infer/recurrent_state.h"
#include "model/attention.h"
#include "model/config.h"
#include "tensor/cpu/kernels.h"

namespace gradus {

struct CacheShape {
  int64_t slots = 1;
  int64_t capacity = 0;  // tokens per slot
};

class KvCache {
 public:
  KvCache(const ModelConfig& config, CacheShape shape, c10::ScalarType dtype, c10::Device device);

  // Keys or values of all slots, [slots, Hkv, capacity, Dh]; latents are keys without values.
  const at::Tensor& keys(int64_t layer) const { return keys_[static_cast<size_t>(layer)]; }
  const at::Tensor& values(int64_t layer) const { return values_[static_cast<size_t>(layer)]; }
  // Keys or values of one slot, [Hkv, capacity, Dh]; a view.
  at::Tensor keys(int64_t layer, int64_t slot) const { return keys(layer).select(0, slot); }
  at::Tensor values(int64_t layer, int64_t slot) const { return values(layer).select(0, slot); }
  // Makes the first `tokens` positions of slot `to` equal to those of slot `from`, which of a
  // recurrent model are all that it has seen.
  void copy_prefix(int64_t from, int64_t to, int64_t tokens);

  const RecurrentState& recurrent() const { return recurrent_; }
  // Called before a pass adds `count` tokens after `past` ones.
  void advance(int64_t slot, int64_t past, int64_t count);

  // Scratch memory of the decode kernel, at least `floats` long; grows and is kept.
  float* workspace(int64_t floats);

  const CacheShape& shape() const { return shape_; }
  int64_t bytes() const;

 private:
  CacheShape shape_;
  std::vector<at::Tensor> keys_, values_;  // per layer; no values where latents are kept
  RecurrentState recurrent_;
  std::vector<int64_t> lengths_;  // tokens that each slot's state has seen
  at::Tensor workspace_;
};

// Consecutive new tokens of the sequence in `slot`, whose first `past` tokens are cached.
struct CachedSegment {
  int64_t slot = 0;
  int64_t past = 0;
  int64_t count = 0;
  int64_t length = 0;  // of the sequence as far as it is known, at least past + count
};

// Attention of one forward pass over a cache: stores the new keys and values, then attends each
// segment to its own past. Segments lie one after the other in the flat tokens. No gradients.
class CachedAttention : public Attention {
 public:
  CachedAttention(KvCache& cache, std::vector<CachedSegment> segments);
  std::vector<SequenceTokens> sequences() const override;
  at::Tensor attend(int64_t layer, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    const ops::AttentionOptions& options) override;
  at::Tensor attend_latent(int64_t layer, const LatentHeads& heads,
                           const ops::AttentionOptions& options) override;
  ops::SegmentStates past(int64_t layer, RecurrentPart part) override;

 private:
  void store(const at::Tensor& fresh, const at::Tensor& memory);
  // One segment of several tokens.
  at::Tensor attend_segment(size_t segment, int64_t layer, const std::array<at::Tensor, 3>& qkv,
                            const ops::AttentionOptions& options);
  const at::Tensor& mask(size_t segment, int64_t window, c10::Device device);
  void decode(int64_t layer, const at::Tensor& q, at::Tensor& out,
              const ops::AttentionOptions& options);

  KvCache& cache_;
  std::vector<CachedSegment> segments_;
  std::vector<int64_t> starts_;                             // first flat token of each segment
  std::map<std::pair<size_t, int64_t>, at::Tensor> masks_;  // by segment and window
  std::vector<cpu::DecodeSequence> sequences_;              // of decode(), reused by every layer
  std::vector<const void*> pages_;
};

}  // namespace gradus
