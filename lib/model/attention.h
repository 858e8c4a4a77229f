// SPDX-License-Identifier: Apache-2.0
// The seam between the model and whatever remembers the past: training has no memory, the inference
// engine keeps keys and values, or the states of recurrent layers. Blocks call attend() or past().
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "tensor/ops.h"
#include "tensor/recurrence.h"

namespace gradus {

struct LatentHeads;

// What a recurrent layer carries from token to token: the input of its time mixing and of its
// channel mixing for their token shifts, and the state of its recurrence.
enum class RecurrentPart { kTimeShift, kChannelShift, kState };

// Consecutive flat tokens of one sequence, and its whole length as far as that is known: a prompt
// that comes in parts is as long in its first part as in its last.
struct SequenceTokens {
  int64_t count = 0;
  int64_t length = 0;
};

class Attention {
 public:
  virtual ~Attention() = default;
  // Which tokens of this pass belong together, in order.
  virtual std::vector<SequenceTokens> sequences() const = 0;
  // q [T, H, Dh], k and v [T, Hkv, Dh] of the tokens of this pass, rotary embedding applied
  // -> [T, H, Dh]. Called once per layer, in order.
  virtual at::Tensor attend(int64_t layer, const at::Tensor& q, const at::Tensor& k,
                            const at::Tensor& v, const ops::AttentionOptions& options) = 0;
  // The same for latent attention (model/latent.h), whose memory holds less -> [T, H, v_dim].
  // Unless overridden: makes the heads' keys and values, and attends to those.
  virtual at::Tensor attend_latent(int64_t layer, const LatentHeads& heads,
                                   const ops::AttentionOptions& options);
  // The segments of this pass and where their pasts are. Called once per recurrent layer and part.
  virtual ops::SegmentStates past(int64_t layer, RecurrentPart part) = 0;
};

// Every segment attends to itself only, causally; nothing is kept.
class PackedAttention : public Attention {
 public:
  explicit PackedAttention(std::vector<int64_t> segment_starts)
      : segment_starts_(std::move(segment_starts)) {}
  std::vector<SequenceTokens> sequences() const override {
    std::vector<SequenceTokens> all;
    for (size_t i = 1; i < segment_starts_.size(); ++i) {
      const int64_t count = segment_starts_[i] - segment_starts_[i - 1];
      all.push_back({.count = count, .length = count});
    }
    return all;
  }
  at::Tensor attend(int64_t, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    const ops::AttentionOptions& options) override {
    return ops::packed_attention(q, k, v, segment_starts_, options);
  }
  ops::SegmentStates past(int64_t, RecurrentPart) override {
    return ops::segments_without_past(segment_starts_);
  }

 private:
  std::vector<int64_t> segment_starts_;
};

}  // namespace gradus
