// SPDX-License-Identifier: Apache-2.0
// The stateless operations that transformer blocks are made of. Blocks call these and nothing
// else, so that a faster kernel replaces an operation without touching a model family. Every
// operation is differentiable where its inputs require gradients, runs on CPU and CUDA, and has a
// plain composition in `reference` that tests compare it with.
//
// Tokens are flat everywhere: T is the number of tokens of all sequences together, and sequences
// are described by segment starts; there is no padding.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "tensor/activation.h"

namespace gradus::ops {

using at::Tensor;

// x [T, K], weight [N, K], bias [N] or undefined -> [T, N].
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias);

// One addition of add_to_columns: value [T, n] goes to columns [first, first + n).
struct ColumnUpdate {
  int64_t first = 0;
  Tensor value;
};
// Adds each update's value to its columns of y [T, N], in place, and returns y; the updates are
// disjoint. y must be the result of another operation, not a leaf that requires gradients.
Tensor add_to_columns(const Tensor& y, const std::vector<ColumnUpdate>& updates);

// Root-mean-square norm over the last dimension (Zhang & Sennrich 2019): x [..., D], weight [D] in
// the dtype of x or fp32. Statistics in fp32 whatever the dtype.
Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps);
// Layer norm over the last dimension (Ba et al. 2016); weight and bias [D] may be undefined.
Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps);

// Which two numbers of a head are rotated together: i and i + R/2 (as in Hugging Face's llama), or
// 2i and 2i + 1 (as in the paper), where R is the rotated width.
enum class RotaryPairs { kHalves, kAdjacent };
// Rotary position embedding (Su et al. 2021) of the first R numbers of each head; the others stay.
// x [T, H, Dh]; cos, sin [T, R/2] fp32.
Tensor rotary(const Tensor& x, const Tensor& cos, const Tensor& sin,
              RotaryPairs pairs = RotaryPairs::kHalves);

// silu(gate) * up (Shazeer 2020); gate_up [T, 2F] holds the gate in its first half -> [T, F].
Tensor swiglu(const Tensor& gate_up);
// activation(gate) * up of the same layout.
Tensor gated(const Tensor& gate_up, Activation activation);
Tensor activate(const Tensor& x, Activation activation);

// cap · tanh(x / cap), or x when cap is 0.
Tensor softcap(const Tensor& x, double cap);

struct AttentionOptions {
  double scale = 1.0;    // of the scores before the softmax
  int64_t window = 0;    // a query sees the last `window` positions; 0: all
  double softcap = 0.0;  // of the scaled scores; 0: none
  // ALiBi (Press et al. 2022): alibi_scale · slope · key position is added to the scores. slopes
  // [H], or undefined; the product is rounded to their dtype.
  Tensor alibi_slopes = {};
  double alibi_scale = 1.0;
  // masked_attention with ALiBi only: the keys' positions [S] int64 where they are not 0, 1, 2, …
  Tensor key_positions = {};

  bool is_plain() const { return softcap == 0.0 && !alibi_slopes.defined(); }
};

// Causal attention inside each segment. q [T, H, Dh], k and v [T, Hkv, Dh]; segment_starts has one
// entry per segment and a last one equal to T -> [T, H, Dh].
Tensor packed_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                        const std::vector<int64_t>& segment_starts,
                        const AttentionOptions& options);

// The last rows of one sequence against its whole past: q [T, H, Dh] are the positions
// [S-T, S) of a sequence whose keys and values are k, v [S, Hkv, Dh] -> [T, H, Dh].
// No gradients.
Tensor cached_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                        const AttentionOptions& options);

// Any pattern: q [T, H, Dh] against k and v [S, Hkv, Dh]; query t sees the keys s where
// mask [T, S] (bool) is true, at least one -> [T, H, Dh]. options.window is not applied.
// No gradients.
Tensor masked_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask,
                        const AttentionOptions& options);

// As cached_attention for heads that share keys of which the first `width` numbers are the values:
// q [T, H, W], keys [S, W] -> [T, H, width]. Scores in fp32, for a block of queries at a time.
Tensor shared_attention(const Tensor& q, const Tensor& keys, int64_t width,
                        const AttentionOptions& options);

namespace reference {
Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps);
Tensor rotary(const Tensor& x, const Tensor& cos, const Tensor& sin,
              RotaryPairs pairs = RotaryPairs::kHalves);
Tensor swiglu(const Tensor& gate_up);
// One dense masked softmax per segment, in fp32.
Tensor packed_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                        const std::vector<int64_t>& segment_starts,
                        const AttentionOptions& options);
}  // namespace reference

}  // namespace gradus::ops
