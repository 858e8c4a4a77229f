// SPDX-License-Identifier: Apache-2.0
#include "tensor/fused_cpu.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include "tensor/cpu/kernels.h"
#include "tensor/views.h"

namespace gradus::ops::fused_cpu {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

int64_t row_count(const Tensor& x) { return x.numel() / x.size(-1); }

// x dense; `reciprocal` [rows] gets 1 / rms unless null.
Tensor normed(const Tensor& x, const Tensor& weight, double eps, float* reciprocal) {
  Tensor y = at::empty_like(x);
  cpu::cpu_kernels().rms_norm({.x = cpu::const_rows(x),
                               .weight = cpu::const_array(weight),
                               .y = cpu::rows(y),
                               .reciprocal_rms = reciprocal,
                               .rows = row_count(x),
                               .width = x.size(-1),
                               .eps = static_cast<float>(eps)});
  return y;
}

struct RmsNorm : torch::autograd::Function<RmsNorm> {
  static Tensor forward(AutogradContext* context, const Tensor& input, const Tensor& weight,
                        double eps) {
    const Tensor x = input.contiguous();
    Tensor reciprocal = at::empty({row_count(x)}, x.options().dtype(at::kFloat));
    Tensor y = normed(x, weight, eps, reciprocal.data_ptr<float>());
    context->save_for_backward({x, weight, reciprocal});
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& incoming) {
    const auto saved = context->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1], &reciprocal = saved[2];
    const Tensor dy = incoming[0].contiguous();
    Tensor dx = at::empty_like(x);
    Tensor dweight = at::empty({weight.size(0)}, x.options().dtype(at::kFloat));
    cpu::cpu_kernels().rms_norm_backward({.x = cpu::const_rows(x),
                                          .dy = cpu::const_rows(dy),
                                          .weight = cpu::const_array(weight),
                                          .reciprocal_rms = reciprocal.data_ptr<float>(),
                                          .dx = cpu::rows(dx),
                                          .dweight = dweight.data_ptr<float>(),
                                          .rows = row_count(x),
                                          .width = x.size(-1)});
    return {dx, dweight.to(weight.scalar_type()), Tensor()};
  }
};

// A rotated copy of x [T, H, Dh].
Tensor rotated(const Tensor& x, const Tensor& cos, const Tensor& sin,
               cpu::RopeDirection direction) {
  Tensor y = at::empty(x.sizes(), x.options());
  y.copy_(x);
  cpu::cpu_kernels().rope({.x = y.data_ptr(),
                           .dtype = cpu::dtype_of(y),
                           .token_stride = y.stride(0),
                           .head_stride = y.stride(1),
                           .rows = y.size(0),
                           .heads = y.size(1),
                           .rotary = 2 * cos.size(1),
                           .cos = cos.const_data_ptr<float>(),
                           .sin = sin.const_data_ptr<float>(),
                           .direction = direction});
  return y;
}

struct Rotary : torch::autograd::Function<Rotary> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& cos,
                        const Tensor& sin) {
    context->save_for_backward({cos, sin});
    return rotated(x, cos, sin, cpu::RopeDirection::kForward);
  }

  static variable_list backward(AutogradContext* context, const variable_list& incoming) {
    const auto saved = context->get_saved_variables();
    return {rotated(incoming[0], saved[0], saved[1], cpu::RopeDirection::kBackward), Tensor(),
            Tensor()};
  }
};

struct Halves {
  Tensor gate, up;  // views [T, F] of [T, 2F]
};
Halves halves_of(const Tensor& packed) {
  const int64_t width = packed.size(1) / 2;
  return {packed.narrow(1, 0, width), packed.narrow(1, width, width)};
}

Tensor gated(const Tensor& gate_up) {
  const auto [gate, up] = halves_of(gate_up);
  Tensor y = at::empty(gate.sizes(), gate_up.options());
  cpu::cpu_kernels().swiglu({.gate = cpu::const_rows(gate),
                             .up = cpu::const_rows(up),
                             .y = cpu::rows(y),
                             .rows = y.size(0),
                             .width = y.size(1)});
  return y;
}

struct SwiGlu : torch::autograd::Function<SwiGlu> {
  static Tensor forward(AutogradContext* context, const Tensor& gate_up) {
    context->save_for_backward({gate_up});
    return gated(gate_up);
  }

  static variable_list backward(AutogradContext* context, const variable_list& incoming) {
    const Tensor gate_up = context->get_saved_variables()[0], dy = incoming[0].contiguous();
    const auto [gate, up] = halves_of(gate_up);
    Tensor gradient = at::empty(gate_up.sizes(), gate_up.options());
    auto [dgate, dup] = halves_of(gradient);
    cpu::cpu_kernels().swiglu_backward({.gate = cpu::const_rows(gate),
                                        .up = cpu::const_rows(up),
                                        .dy = cpu::const_rows(dy),
                                        .dgate = cpu::rows(dgate),
                                        .dup = cpu::rows(dup),
                                        .rows = dy.size(0),
                                        .width = dy.size(1)});
    return {gradient};
  }
};

// A view [T, H, Dh] whose heads are dense.
Tensor with_dense_heads(const Tensor& x) { return x.stride(2) == 1 ? x : x.contiguous(); }

cpu::HeadsView heads_view(const Tensor& x) {
  return {.data = x.const_data_ptr(), .token_stride = x.stride(0), .head_stride = x.stride(1)};
}

struct Attention : torch::autograd::Function<Attention> {
  static cpu::PackedAttention arguments(const Tensor& q, const Tensor& k, const Tensor& v,
                                        const std::vector<int64_t>& starts,
                                        const AttentionOptions& options) {
    return {.q = heads_view(q),
            .k = heads_view(k),
            .v = heads_view(v),
            .dtype = cpu::dtype_of(q),
            .segment_starts = starts.data(),
            .segment_count = static_cast<int64_t>(starts.size()) - 1,
            .tokens = q.size(0),
            .heads = q.size(1),
            .kv_heads = k.size(1),
            .head_dim = q.size(2),
            .scale = static_cast<float>(options.scale),
            .window = options.window};
  }

  static Tensor forward(AutogradContext* context, const Tensor& query, const Tensor& key,
                        const Tensor& value, const std::vector<int64_t>& starts,
                        const AttentionOptions& options) {
    const Tensor q = with_dense_heads(query), k = with_dense_heads(key),
                 v = with_dense_heads(value);
    Tensor out = at::empty(q.sizes(), q.options());
    Tensor lse = at::empty({q.size(1), q.size(0)}, q.options().dtype(at::kFloat));
    cpu::PackedAttention call = arguments(q, k, v, starts, options);
    call.out = out.mutable_data_ptr();
    call.lse = lse.data_ptr<float>();
    cpu::cpu_kernels().packed_attention(call);
    context->save_for_backward({q, k, v, out, lse});
    context->saved_data["starts"] = starts;
    context->saved_data["scale"] = options.scale;
    context->saved_data["window"] = options.window;
    return out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& incoming) {
    const auto saved = context->get_saved_variables();
    const Tensor &q = saved[0], &k = saved[1], &v = saved[2];
    const std::vector<int64_t> starts = context->saved_data["starts"].toIntVector();
    const Tensor dout = incoming[0].contiguous();
    Tensor dq = at::empty(q.sizes(), q.options()), dk = at::empty(k.sizes(), k.options()),
           dv = at::empty(v.sizes(), v.options());
    cpu::PackedAttention forward = arguments(q, k, v, starts,
                                             {.scale = context->saved_data["scale"].toDouble(),
                                              .window = context->saved_data["window"].toInt()});
    forward.out = const_cast<void*>(saved[3].const_data_ptr());
    forward.lse = const_cast<float*>(saved[4].const_data_ptr<float>());
    cpu::cpu_kernels().packed_attention_backward({.forward = forward,
                                                  .dout = dout.const_data_ptr(),
                                                  .dq = dq.mutable_data_ptr(),
                                                  .dk = dk.mutable_data_ptr(),
                                                  .dv = dv.mutable_data_ptr()});
    return {dq, dk, dv, Tensor(), Tensor()};
  }
};

}  // namespace

bool applies(const Tensor& x) { return x.is_cpu() && cpu::has_kernel_dtype(x); }

Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps) {
  if (!at::GradMode::is_enabled()) return normed(x.contiguous(), weight, eps, nullptr);
  return RmsNorm::apply(x, weight, eps);
}
Tensor rotary(const Tensor& x, const Tensor& cos, const Tensor& sin) {
  if (!at::GradMode::is_enabled()) return rotated(x, cos, sin, cpu::RopeDirection::kForward);
  return Rotary::apply(x, cos, sin);
}
Tensor swiglu(const Tensor& gate_up) {
  if (!at::GradMode::is_enabled()) return gated(gate_up.contiguous());
  return SwiGlu::apply(gate_up.contiguous());
}

bool attention_applies(const Tensor& q) { return applies(q) && q.size(2) % 16 == 0; }
Tensor packed_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                        const std::vector<int64_t>& segment_starts,
                        const AttentionOptions& options) {
  return Attention::apply(q, k, v, segment_starts, options);
}

Tensor small_linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const Tensor input = x.contiguous();
  const Tensor wide_bias = bias.defined() ? bias.to(at::kFloat) : Tensor();
  Tensor y = at::empty({x.size(0), weight.size(0)}, x.options());
  cpu::cpu_kernels().gemv(
      {.weight = cpu::const_rows(weight),
       .x = cpu::const_rows(input),
       .y = cpu::rows(y),
       .bias = wide_bias.defined() ? wide_bias.const_data_ptr<float>() : nullptr,
       .rows = x.size(0),
       .n = weight.size(0),
       .k = weight.size(1)});
  return y;
}

}  // namespace gradus::ops::fused_cpu
