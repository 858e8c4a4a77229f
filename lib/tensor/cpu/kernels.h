// SPDX-License-Identifier: Apache-2.0
// The fast CPU kernels: plain functions on raw pointers, one table per instruction set.
//
// Common rules. Pointers need no alignment unless said; inputs and outputs may be the same memory
// only where said. `threads` 0 means OpenMP's maximum. Results do not depend on the number of
// threads, and a row's result does not depend on the other rows of the call. Arithmetic is fp32
// inside, bf16 is rounded to nearest even once, at the store; NaN propagates. Nothing is allocated,
// but for per-thread scratch buffers that grow once. Sizes are the caller's to check: kernels throw
// only std::bad_alloc.
#pragma once

#include <cstdint>

#include "tensor/cpu/quant_weight.h"
#include "tensor/cpu/types.h"
#include "tensor/cpu/wkv.h"

namespace gradus::cpu {

// y[T, N] = x[T, K] * W[N, K]^T + bias, W quantised (weights only), K = weight.shape.k.
// Within a group the integer weights are multiplied exactly and summed in fp32, then scaled: W is
// never rounded to bf16. A row's result is bit for bit the same for every T. x in bf16 on a
// processor with AVX512-BF16 uses its dot product; otherwise x is widened to fp32.
struct QuantMatmul {
  QuantWeight weight;
  ConstRows x;
  Rows y;
  const float* bias = nullptr;  // [N] or null
  int64_t rows = 0;             // T
  int threads = 0;
};

// y[T, N] = x[T, K] * W[N, K]^T + bias, W fp32 or bf16 row-major; meant for T <= 4 (for every 4
// rows of x, W is read once). Bit for bit the same for every T.
struct Gemv {
  ConstRows weight;
  ConstRows x;
  Rows y;
  const float* bias = nullptr;  // [N] or null
  int64_t rows = 0;             // T
  int64_t n = 0;
  int64_t k = 0;
  int threads = 0;
};

// y = x / sqrt(mean(x^2) + eps) * (weight + weight_offset). x and y have one dtype and may be the
// same memory.
struct RmsNorm {
  ConstRows x;
  ConstArray weight;        // [D]
  float weight_offset = 0;  // 1 for gemma; no loaded family uses it yet
  Rows y;
  float* reciprocal_rms = nullptr;  // [T], kept for the backward pass; null: not written
  int64_t rows = 0;                 // T
  int64_t width = 0;                // D
  float eps = 1e-6f;
  int threads = 0;
};

// dx (same dtype as x and dy; may be dy's memory), and dweight[D] fp32, overwritten; either output
// may be null.
struct RmsNormBackward {
  ConstRows x;
  ConstRows dy;
  ConstArray weight;
  float weight_offset = 0;
  const float* reciprocal_rms = nullptr;  // [T] from the forward pass
  Rows dx = {};
  float* dweight = nullptr;
  int64_t rows = 0;
  int64_t width = 0;
  int threads = 0;
};

enum class RopePairs : uint8_t {
  kHalves,       // (i, i + rotary/2): GPT-NeoX, HF llama "rotate_half"
  kInterleaved,  // (2i, 2i + 1): GPT-J, GLM; no loaded family uses it yet
};
enum class RopeDirection : uint8_t { kForward, kBackward };

// Rotates x[T, H, Dh] in place by the angles of its positions; backward is the inverse rotation.
// Only the first `rotary` of Dh elements turn. cos and sin are fp32 [max positions, rotary/2].
struct Rope {
  void* x = nullptr;
  DType dtype = DType::kFloat32;
  int64_t token_stride = 0;
  int64_t head_stride = 0;
  int64_t rows = 0;    // T
  int64_t heads = 0;   // H
  int64_t rotary = 0;  // even, <= Dh
  const float* cos = nullptr;
  const float* sin = nullptr;
  const int64_t* positions = nullptr;  // [T]; null: row t is position t
  RopePairs pairs = RopePairs::kHalves;
  RopeDirection direction = RopeDirection::kForward;
  int threads = 0;
};

// y = silu(gate) * up, elementwise on [T, F], one dtype. A packed [T, 2F] is two views with stride
// 2F. y may be gate's or up's memory.
struct SwiGlu {
  ConstRows gate;
  ConstRows up;
  Rows y;
  int64_t rows = 0;
  int64_t width = 0;  // F
  int threads = 0;
};
// dgate and dup may be the memory of gate and up.
struct SwiGluBackward {
  ConstRows gate;
  ConstRows up;
  ConstRows dy;
  Rows dgate;
  Rows dup;
  int64_t rows = 0;
  int64_t width = 0;
  int threads = 0;
};

// One query token of one sequence. The cache is a list of pages of `page_tokens` tokens; a
// contiguous cache is one page. Recommended page layout [Hkv, page_tokens, Dh]: a head's keys are
// one stream, and appending writes Hkv rows. [page_tokens, Hkv, Dh] works through the strides.
struct DecodeSequence {
  const void* q = nullptr;  // [H, Dh], dense, DecodeAttention::dtype
  void* out = nullptr;      // [H, Dh], dense, DecodeAttention::dtype
  const void* const* k_pages = nullptr;
  const void* const* v_pages = nullptr;
  int64_t length = 0;  // tokens in the cache, the query's own included; >= 1
};

// out = softmax(softcap(q k^T * scale)) v over the last `window` tokens, for many sequences.
// Heads [i H/Hkv, (i+1) H/Hkv) share key-value head i. Work is split at fixed multiples of
// kDecodeChunk tokens, so that one long sequence uses all threads and a result never depends on the
// batch. workspace: decode_attention_workspace() floats.
constexpr int64_t kDecodeChunk = 256;
struct DecodeAttention {
  const DecodeSequence* sequences = nullptr;
  int64_t sequence_count = 0;
  DType dtype = DType::kFloat32;        // of q and out
  DType cache_dtype = DType::kFloat32;  // of the pages
  int64_t heads = 0;                    // H, a multiple of Hkv
  int64_t kv_heads = 0;                 // Hkv
  int64_t head_dim = 0;                 // Dh, at most 256 and a multiple of 16
  int64_t page_tokens = 0;
  int64_t token_stride = 0;  // elements between tokens of one head in a page
  int64_t head_stride = 0;   // elements between heads of one token in a page
  float scale = 1;
  float softcap = 0;   // 0: none; else softcap * tanh(score / softcap), which gemma will use
  int64_t window = 0;  // 0: all tokens
  float* workspace = nullptr;
  int threads = 0;
};
int64_t decode_attention_workspace(const DecodeAttention& args);

// x(token, head) = data + token · token_stride + head · head_stride, each Dh dense elements.
struct HeadsView {
  const void* data = nullptr;
  int64_t token_stride = 0;
  int64_t head_stride = 0;
};

// Causal attention inside each segment, for training and prefill: segment s holds the tokens
// [segment_starts[s], segment_starts[s + 1]). out = softmax(q k^T * scale) v over the keys of the
// last `window` tokens, the query's own included. Heads share key-value heads as in decode.
struct PackedAttention {
  HeadsView q, k, v;
  DType dtype = DType::kFloat32;  // of q, k, v, out and all gradients
  void* out = nullptr;            // [T, H, Dh], dense
  float* lse = nullptr;           // [H, T] log of the softmax's sum, for the backward pass, or null
  const int64_t* segment_starts = nullptr;  // [segments + 1]
  int64_t segment_count = 0;
  int64_t tokens = 0;    // T
  int64_t heads = 0;     // H
  int64_t kv_heads = 0;  // Hkv
  int64_t head_dim = 0;  // Dh, a multiple of 16
  float scale = 1;
  int64_t window = 0;  // 0: all tokens
  int threads = 0;
};
// Gradients, overwritten. `forward` holds the forward pass's inputs and outputs.
struct PackedAttentionBackward {
  PackedAttention forward;
  const void* dout = nullptr;  // [T, H, Dh], dense
  void* dq = nullptr;          // [T, H, Dh], dense
  void* dk = nullptr;          // [T, Hkv, Dh], dense
  void* dv = nullptr;
};

// One AdamW step (Loshchilov & Hutter 2019, as torch.optim.AdamW) over a flat array:
// g = grad * grad_scale; p -= lr * weight_decay * p; m, v updated;
// p -= lr / bias_correction1 * m / (sqrt(v / bias_correction2) + eps).
struct AdamW {
  float* param = nullptr;      // fp32 master
  Bf16* param_copy = nullptr;  // receives the rounded parameters; null: none
  ConstArray grad;
  float* exp_avg = nullptr;
  float* exp_avg_sq = nullptr;
  int64_t count = 0;
  float lr = 0;
  float beta1 = 0.9f;
  float beta2 = 0.999f;
  float eps = 1e-8f;
  float weight_decay = 0;
  float bias_correction1 = 1;  // 1 - beta1^step
  float bias_correction2 = 1;  // 1 - beta2^step
  float grad_scale = 1;        // clipping and loss scale
  int threads = 0;
};

// The sum of squares of an array, in a fixed order (blocks of a size that depends on count only).
struct SumOfSquares {
  ConstArray values;
  int64_t count = 0;
  int threads = 0;
};

// Per row of logits[T, V]: lse = log(sum(exp)), and the logit of the target (0 where the target is
// not in [0, V), which is how ignored tokens are marked). Outputs may be null.
struct LogSumExp {
  ConstRows logits;
  const int64_t* targets = nullptr;  // [T]; null when target_logit is
  float* lse = nullptr;              // [T]
  float* target_logit = nullptr;     // [T]
  int64_t rows = 0;
  int64_t vocab = 0;  // V
  int threads = 0;
};

// In place: logits = (softmax(logits) - onehot(target)) * scale[t] * common_scale. Rows whose
// target is not in [0, V) become 0.
struct CrossEntropyGrad {
  Rows logits;
  const int64_t* targets = nullptr;  // [T]
  const float* lse = nullptr;        // [T] from LogSumExp
  const float* scale = nullptr;      // [T] or null
  float common_scale = 1;
  int64_t rows = 0;
  int64_t vocab = 0;
  int threads = 0;
};

enum class Isa : uint8_t { kGeneric, kAvx2, kAvx512, kAvx512Bf16 };

struct CpuKernels {
  Isa isa;
  void (*quant_matmul)(const QuantMatmul&);
  void (*gemv)(const Gemv&);
  void (*rms_norm)(const RmsNorm&);
  void (*rms_norm_backward)(const RmsNormBackward&);
  void (*rope)(const Rope&);
  void (*swiglu)(const SwiGlu&);
  void (*swiglu_backward)(const SwiGluBackward&);
  void (*decode_attention)(const DecodeAttention&);
  void (*packed_attention)(const PackedAttention&);
  void (*packed_attention_backward)(const PackedAttentionBackward&);
  void (*wkv4)(const Wkv4&);
  void (*wkv4_backward)(const Wkv4Backward&);
  void (*wkv7)(const Wkv7&);
  void (*wkv7_backward)(const Wkv7Backward&);
  void (*adamw)(const AdamW&);
  double (*sum_of_squares)(const SumOfSquares&);
  void (*log_sum_exp)(const LogSumExp&);
  void (*cross_entropy_grad)(const CrossEntropyGrad&);
};

// The best table this processor can run, chosen once.
const CpuKernels& cpu_kernels();
// The table of one instruction set, or null where this processor lacks it (tests, comparisons).
const CpuKernels* cpu_kernels_for(Isa isa);
const char* isa_name(Isa isa);

}  // namespace gradus::cpu
