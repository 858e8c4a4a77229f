// SPDX-License-Identifier: Apache-2.0
// Operations that carry a state from token to token: RWKV's token shift and the recurrences of
// RWKV-4 ("wkv": Peng et al. 2023, arXiv 2305.13048) and RWKV-7 (Peng et al. 2025, arXiv
// 2503.14456). As in ops.h tokens are flat, and each operation has a plain composition in
// `reference`, which also runs where there is no kernel.
//
// Gradients reach the inputs, never a state: training begins every segment without a past.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace gradus::ops {

using at::Tensor;

// Consecutive tokens [begin, end) of one sequence, at least one.
struct StateSegment {
  int64_t begin = 0, end = 0;
  int64_t from = -1;  // the row of SegmentStates::rows that holds its past; -1: no past
  int64_t to = -1;    // the row that gets its state after the last token; -1: not kept
};

// The segments of the flat tokens and where their pasts are. Every token is in one segment.
struct SegmentStates {
  // Segments of one wave are independent of each other; a later wave may continue what an earlier
  // one has written.
  std::vector<std::vector<StateSegment>> waves;
  Tensor rows = {};  // [rows, ...] as the operation says, written in place; undefined: none is kept
};

// Segments without a past: `starts` has one entry per segment and a last one, the number of tokens.
SegmentStates segments_without_past(const std::vector<int64_t>& starts);

// x [T, D] -> [T, D]: row t is row t - 1 of x; the first row of a segment is its past's last one,
// or 0. A state is that last row: rows [rows, D] in the dtype of x.
Tensor token_shift(const Tensor& x, const SegmentStates& states);

// Per channel, with w = log_decay <= 0 and u = first, both [A] fp32, and k, v [T, A]:
//   y_t = (Σ_{i<t} e^{(t-1-i) w + k_i} v_i + e^{u + k_t} v_t) / (the same without v)  -> [T, A]
// A state is [3, A]: that numerator and denominator without the last term, both divided by e^m, and
// m. rows [rows, 3, A] fp32, contiguous.
struct Wkv4Input {
  Tensor log_decay, first, k, v;
};
Tensor wkv4(const Wkv4Input& input, const SegmentStates& states);

// Per head, all [T, H, Dh] in one dtype, S a matrix of keys and values that is 0 without a past:
//   S_t = diag(e^{log_decay_t}) S_{t-1} + b_t (a_tᵀ S_{t-1}) + k_t v_tᵀ,  y_t = S_tᵀ r_t
// -> [T, H, Dh]. A state is S: rows [rows, H, Dh, Dh] fp32, contiguous.
struct Wkv7Input {
  Tensor r, log_decay, k, v, a, b;
};
Tensor wkv7(const Wkv7Input& input, const SegmentStates& states);

namespace reference {
Tensor token_shift(const Tensor& x, const SegmentStates& states);
Tensor wkv4(const Wkv4Input& input, const SegmentStates& states);
Tensor wkv7(const Wkv7Input& input, const SegmentStates& states);
}  // namespace reference

}  // namespace gradus::ops
