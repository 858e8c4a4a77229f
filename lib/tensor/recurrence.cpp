// SPDX-License-Identifier: Apache-2.0
#include "tensor/recurrence.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cstring>

#include "tensor/cpu/kernels.h"
#include "tensor/views.h"

namespace gradus::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

bool has_kernels(const Tensor& x) { return x.is_cpu() && cpu::has_kernel_dtype(x); }

// Segments travel through the context of a function as [begin, end) pairs.
std::vector<int64_t> bounds_of(const SegmentStates& states) {
  std::vector<int64_t> bounds;
  for (const StateSegment& segment : states.waves.at(0))
    bounds.insert(bounds.end(), {segment.begin, segment.end});
  return bounds;
}

SegmentStates states_of(const std::vector<int64_t>& bounds) {
  SegmentStates states{.waves = {{}}};
  for (size_t i = 0; i < bounds.size(); i += 2)
    states.waves[0].push_back({.begin = bounds[i], .end = bounds[i + 1]});
  return states;
}

// Whether a gradient may be asked for; then no segment may have a past.
bool needs_gradients(const SegmentStates& states, std::initializer_list<Tensor> inputs) {
  bool needed = false;
  for (const Tensor& x : inputs) needed = needed || x.requires_grad();
  if (!needed || !at::GradMode::is_enabled()) return false;
  TORCH_CHECK(states.waves.size() == 1 && !states.rows.defined(),
              "gradients through a kept state are not computed");
  return true;
}

// Rows of memory that hold the states; null where there are none.
struct StateRows {
  float* data = nullptr;
  int64_t stride = 0;

  explicit StateRows(const Tensor& rows) {
    if (!rows.defined()) return;
    TORCH_CHECK(rows.is_contiguous() && rows.scalar_type() == at::kFloat, "states are dense fp32");
    data = rows.mutable_data_ptr<float>();
    stride = rows.stride(0);
  }
  float* at(int64_t row) const { return row < 0 ? nullptr : data + row * stride; }
};

struct KernelSegments {
  std::vector<cpu::WkvSegment> list;
  int64_t chunks = 0;
};
KernelSegments kernel_segments(const std::vector<StateSegment>& wave, const StateRows& rows) {
  KernelSegments segments;
  for (const StateSegment& segment : wave) {
    segments.list.push_back({.begin = segment.begin,
                             .end = segment.end,
                             .from = rows.at(segment.from),
                             .to = rows.at(segment.to),
                             .first_chunk = segments.chunks});
    segments.chunks += (segment.end - segment.begin + cpu::kWkvChunk - 1) / cpu::kWkvChunk;
  }
  return segments;
}

Tensor shifted(const Tensor& x, const SegmentStates& states) {
  const int64_t T = x.size(0);
  const size_t bytes = static_cast<size_t>(x.size(1)) * x.element_size();
  Tensor y = at::empty_like(x);
  if (T > 1) y.narrow(0, 1, T - 1).copy_(x.narrow(0, 0, T - 1));
  const Tensor& rows = states.rows;
  TORCH_CHECK(!rows.defined() || (rows.is_contiguous() && rows.scalar_type() == x.scalar_type()),
              "states are dense and in the dtype of x");
  const auto row = [bytes](const Tensor& t, int64_t i) {
    return static_cast<char*>(const_cast<void*>(t.const_data_ptr())) +
           static_cast<size_t>(i) * bytes;
  };
  for (const auto& wave : states.waves) {
    for (const StateSegment& segment : wave) {
      if (segment.from < 0) {
        std::memset(row(y, segment.begin), 0, bytes);
      } else {
        std::memcpy(row(y, segment.begin), row(rows, segment.from), bytes);
      }
      if (segment.to >= 0) std::memcpy(row(rows, segment.to), row(x, segment.end - 1), bytes);
    }
  }
  return y;
}

struct TokenShift : torch::autograd::Function<TokenShift> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const SegmentStates& states) {
    context->saved_data["bounds"] = bounds_of(states);
    return shifted(x.contiguous(), states);
  }

  // The gradient of row t comes from row t + 1; a segment's last row has no successor.
  static variable_list backward(AutogradContext* context, const variable_list& incoming) {
    const std::vector<int64_t> bounds = context->saved_data["bounds"].toIntVector();
    const Tensor& dy = incoming[0];
    const int64_t T = dy.size(0);
    Tensor dx = at::empty(dy.sizes(), dy.options());
    if (T > 1) dx.narrow(0, 0, T - 1).copy_(dy.narrow(0, 1, T - 1));
    for (size_t i = 1; i < bounds.size(); i += 2) dx.select(0, bounds[i] - 1).zero_();
    return {dx, Tensor()};
  }
};

cpu::Wkv4 arguments(const Wkv4Input& in, const KernelSegments& segments, Tensor& out) {
  return {.decay = in.log_decay.const_data_ptr<float>(),
          .first = in.first.const_data_ptr<float>(),
          .k = in.k.const_data_ptr(),
          .v = in.v.const_data_ptr(),
          .dtype = cpu::dtype_of(in.k),
          .segments = segments.list.data(),
          .segment_count = static_cast<int64_t>(segments.list.size()),
          .width = in.k.size(1),
          .out = out.mutable_data_ptr()};
}

Wkv4Input dense(const Wkv4Input& in) {
  return {in.log_decay.contiguous(), in.first.contiguous(), in.k.contiguous(), in.v.contiguous()};
}

struct Wkv4Function : torch::autograd::Function<Wkv4Function> {
  static Tensor forward(AutogradContext* context, const Tensor& log_decay, const Tensor& first,
                        const Tensor& k, const Tensor& v, const SegmentStates& states) {
    const Wkv4Input in = dense({log_decay, first, k, v});
    const KernelSegments segments = kernel_segments(states.waves.at(0), StateRows(Tensor()));
    Tensor out = at::empty_like(in.k);
    Tensor chunks = at::empty({segments.chunks, 3, k.size(1)}, k.options().dtype(at::kFloat));
    cpu::Wkv4 call = arguments(in, segments, out);
    call.chunks = chunks.mutable_data_ptr<float>();
    cpu::cpu_kernels().wkv4(call);
    context->save_for_backward({in.log_decay, in.first, in.k, in.v, chunks});
    context->saved_data["bounds"] = bounds_of(states);
    return out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& incoming) {
    const auto saved = context->get_saved_variables();
    const Wkv4Input in = {saved[0], saved[1], saved[2], saved[3]};
    const SegmentStates states = states_of(context->saved_data["bounds"].toIntVector());
    const KernelSegments segments = kernel_segments(states.waves[0], StateRows(Tensor()));
    const Tensor dout = incoming[0].contiguous();
    Tensor dk = at::empty_like(in.k), dv = at::empty_like(in.v);
    Tensor ddecay = at::empty_like(in.log_decay), dfirst = at::empty_like(in.first);
    cpu::Wkv4 forward = arguments(in, segments, dk);
    forward.chunks = const_cast<float*>(saved[4].const_data_ptr<float>());
    cpu::cpu_kernels().wkv4_backward({.forward = forward,
                                      .dout = dout.const_data_ptr(),
                                      .dk = dk.mutable_data_ptr(),
                                      .dv = dv.mutable_data_ptr(),
                                      .ddecay = ddecay.mutable_data_ptr<float>(),
                                      .dfirst = dfirst.mutable_data_ptr<float>()});
    return {ddecay, dfirst, dk, dv, Tensor()};
  }
};

bool fits_wkv7(const Tensor& r) {
  const int64_t Dh = r.size(2);
  return has_kernels(r) && (Dh == 16 || Dh == 32 || Dh == 64 || Dh == 128);
}

cpu::Wkv7 arguments(const Wkv7Input& in, const KernelSegments& segments, Tensor& out) {
  return {.r = in.r.const_data_ptr(),
          .log_decay = in.log_decay.const_data_ptr(),
          .k = in.k.const_data_ptr(),
          .v = in.v.const_data_ptr(),
          .a = in.a.const_data_ptr(),
          .b = in.b.const_data_ptr(),
          .dtype = cpu::dtype_of(in.r),
          .segments = segments.list.data(),
          .segment_count = static_cast<int64_t>(segments.list.size()),
          .heads = in.r.size(1),
          .head_dim = in.r.size(2),
          .out = out.mutable_data_ptr()};
}

Wkv7Input dense(const Wkv7Input& in) {
  return {in.r.contiguous(), in.log_decay.contiguous(), in.k.contiguous(),
          in.v.contiguous(), in.a.contiguous(),         in.b.contiguous()};
}

struct Wkv7Function : torch::autograd::Function<Wkv7Function> {
  static Tensor forward(AutogradContext* context, const Tensor& r, const Tensor& log_decay,
                        const Tensor& k, const Tensor& v, const Tensor& a, const Tensor& b,
                        const SegmentStates& states) {
    const Wkv7Input in = dense({r, log_decay, k, v, a, b});
    const KernelSegments segments = kernel_segments(states.waves.at(0), StateRows(Tensor()));
    const auto floats = r.options().dtype(at::kFloat);
    Tensor out = at::empty_like(in.r), removed = at::empty(r.sizes(), floats);
    Tensor chunks = at::empty({segments.chunks, r.size(1), r.size(2), r.size(2)}, floats);
    cpu::Wkv7 call = arguments(in, segments, out);
    call.removed = removed.mutable_data_ptr<float>();
    call.chunks = chunks.mutable_data_ptr<float>();
    cpu::cpu_kernels().wkv7(call);
    context->save_for_backward({in.r, in.log_decay, in.k, in.v, in.a, in.b, removed, chunks});
    context->saved_data["bounds"] = bounds_of(states);
    return out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& incoming) {
    const auto saved = context->get_saved_variables();
    const Wkv7Input in = {saved[0], saved[1], saved[2], saved[3], saved[4], saved[5]};
    const SegmentStates states = states_of(context->saved_data["bounds"].toIntVector());
    const KernelSegments segments = kernel_segments(states.waves[0], StateRows(Tensor()));
    const Tensor dout = incoming[0].contiguous();
    std::vector<Tensor> gradients;
    for (int i = 0; i < 6; ++i) gradients.push_back(at::empty_like(in.r));
    cpu::Wkv7 forward = arguments(in, segments, gradients[0]);
    forward.removed = const_cast<float*>(saved[6].const_data_ptr<float>());
    forward.chunks = const_cast<float*>(saved[7].const_data_ptr<float>());
    cpu::cpu_kernels().wkv7_backward({.forward = forward,
                                      .dout = dout.const_data_ptr(),
                                      .dr = gradients[0].mutable_data_ptr(),
                                      .dlog_decay = gradients[1].mutable_data_ptr(),
                                      .dk = gradients[2].mutable_data_ptr(),
                                      .dv = gradients[3].mutable_data_ptr(),
                                      .da = gradients[4].mutable_data_ptr(),
                                      .db = gradients[5].mutable_data_ptr()});
    gradients.emplace_back();
    return gradients;
  }
};

}  // namespace

Tensor token_shift(const Tensor& x, const SegmentStates& states) {
  if (!x.is_cpu()) return reference::token_shift(x, states);
  return needs_gradients(states, {x}) ? TokenShift::apply(x, states)
                                      : shifted(x.contiguous(), states);
}

Tensor wkv4(const Wkv4Input& input, const SegmentStates& states) {
  if (!has_kernels(input.k)) return reference::wkv4(input, states);
  if (needs_gradients(states, {input.log_decay, input.first, input.k, input.v}))
    return Wkv4Function::apply(input.log_decay, input.first, input.k, input.v, states);
  const Wkv4Input in = dense(input);
  Tensor out = at::empty_like(in.k);
  for (const auto& wave : states.waves) {
    const KernelSegments segments = kernel_segments(wave, StateRows(states.rows));
    cpu::cpu_kernels().wkv4(arguments(in, segments, out));
  }
  return out;
}

Tensor wkv7(const Wkv7Input& input, const SegmentStates& states) {
  if (!fits_wkv7(input.r)) return reference::wkv7(input, states);
  const auto& [r, log_decay, k, v, a, b] = input;
  if (needs_gradients(states, {r, log_decay, k, v, a, b}))
    return Wkv7Function::apply(r, log_decay, k, v, a, b, states);
  const Wkv7Input in = dense(input);
  Tensor out = at::empty_like(in.r);
  for (const auto& wave : states.waves) {
    const KernelSegments segments = kernel_segments(wave, StateRows(states.rows));
    cpu::cpu_kernels().wkv7(arguments(in, segments, out));
  }
  return out;
}

}  // namespace gradus::ops
