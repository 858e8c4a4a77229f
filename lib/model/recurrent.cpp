// SPDX-License-Identifier: Apache-2.0
// RWKV-4 (Peng et al. 2023, arXiv 2305.13048), with the names of transformers' "rwkv"; RWKV-7 (Peng
// et al. 2025, arXiv 2503.14456), with those of flash-linear-attention's "rwkv7".
#include "model/recurrent.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/lerp.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/tanh.h>

#include "tensor/ops.h"
#include "tensor/recurrence.h"

namespace gradus {
namespace {

using at::Tensor;

// Names of the mixes, without the prefix of the layer.
const std::vector<std::string> kTimeMix4 = {"attention.time_mix_receptance",
                                            "attention.time_mix_key", "attention.time_mix_value"};
const std::vector<std::string> kChannelMix4 = {"feed_forward.time_mix_key",
                                               "feed_forward.time_mix_receptance"};
const std::vector<std::string> kTimeMix7 = {"attn.x_r", "attn.x_w", "attn.x_k",
                                            "attn.x_v", "attn.x_a", "attn.x_g"};
const std::vector<std::string> kChannelMix7 = {"ffn.x_k"};

bool is_rwkv4(const ModelConfig& c) { return c.recurrent.kind == RecurrentKind::kRwkv4; }

LowRank make_low_rank(const ModelConfig& c, const std::string& name, int64_t rank,
                      const at::TensorOptions& options) {
  const int64_t D = c.hidden_size;
  return {make_linear({{name + ".lora.0", rank}}, D, false, options),
          make_linear({{name + ".lora.2", D}}, rank, !name.ends_with("g_lora"), options)};
}

void make_rwkv4(const ModelConfig& c, const std::string& prefix, const at::TensorOptions& options,
                RecurrentMixer& m) {
  const int64_t D = c.hidden_size, A = c.head_dim, F = c.intermediate_size;
  const auto linear = [&](const std::string& name, int64_t rows, int64_t columns) {
    return make_linear({{prefix + name, rows}}, columns, false, options);
  };
  m.receptance = linear("attention.receptance", A, D);
  m.key = linear("attention.key", A, D);
  m.value = linear("attention.value", A, D);
  m.output = linear("attention.output", D, A);
  m.channel_key = linear("feed_forward.key", F, D);
  m.channel_value = linear("feed_forward.value", D, F);
  m.channel_receptance = linear("feed_forward.receptance", D, D);
  m.decay = at::empty({A}, options);
  m.first = at::empty({A}, options);
  for (size_t i = 0; i < kTimeMix4.size(); ++i) m.time_mix.push_back(at::empty({1, 1, D}, options));
  for (size_t i = 0; i < kChannelMix4.size(); ++i)
    m.channel_mix.push_back(at::empty({1, 1, D}, options));
}

void make_rwkv7(const ModelConfig& c, int64_t index, const at::TensorOptions& options,
                RecurrentMixer& m) {
  const int64_t D = c.hidden_size, F = c.intermediate_size;
  const std::string prefix = c.names.layer(index), time = prefix + "attn.";
  const auto square = [&](const std::string& name) {
    return make_linear({{time + name, D}}, D, false, options);
  };
  m.receptance = square("r_proj");
  m.key = square("k_proj");
  m.value = square("v_proj");
  m.output = square("o_proj");
  m.channel_key = make_linear({{prefix + "ffn.key", F}}, D, false, options);
  m.channel_value = make_linear({{prefix + "ffn.value", D}}, F, false, options);
  m.decay_low = make_low_rank(c, time + "w_lora", c.recurrent.decay_rank, options);
  m.rate_low = make_low_rank(c, time + "a_lora", c.recurrent.rate_rank, options);
  m.gate_low = make_low_rank(c, time + "g_lora", c.recurrent.gate_rank, options);
  if (index > 0) m.value_low = make_low_rank(c, time + "v_lora", c.recurrent.value_rank, options);
  for (Tensor* vector : {&m.k_k, &m.k_a, &m.norm_weight, &m.norm_bias})
    *vector = at::empty({D}, options);
  m.r_k = at::empty({c.num_attention_heads, c.head_dim}, options);
  for (size_t i = 0; i < kTimeMix7.size(); ++i) m.time_mix.push_back(at::empty({1, 1, D}, options));
  m.channel_mix.push_back(at::empty({D}, options));
}

// from + share · (to - from), share [..., D].
Tensor mixed(const Tensor& from, const Tensor& to, const Tensor& share) {
  return at::lerp(from, to, share.view({-1}));
}

Tensor rwkv4_time_mixing(const RecurrentMixer& m, int64_t index, const Tensor& x,
                         Attention& memory) {
  const Tensor before = ops::token_shift(x, memory.past(index, RecurrentPart::kTimeShift));
  const auto input = [&](size_t i) { return mixed(before, x, m.time_mix[i]); };
  const Tensor receptance = at::sigmoid(m.receptance.forward(input(0)));
  const Tensor y = ops::wkv4({.log_decay = -at::exp(m.decay.to(at::kFloat)),
                              .first = m.first.to(at::kFloat),
                              .k = m.key.forward(input(1)),
                              .v = m.value.forward(input(2))},
                             memory.past(index, RecurrentPart::kState));
  return m.output.forward(receptance * y);
}

Tensor rwkv4_channel_mixing(const RecurrentMixer& m, int64_t index, const Tensor& x,
                            Attention& memory) {
  const Tensor before = ops::token_shift(x, memory.past(index, RecurrentPart::kChannelShift));
  const Tensor inner = m.channel_key.forward(mixed(before, x, m.channel_mix[0]));
  const Tensor fed = m.channel_value.forward(ops::activate(inner, Activation::kReluSquared));
  return at::sigmoid(m.channel_receptance.forward(mixed(before, x, m.channel_mix[1]))) * fed;
}

// Each head divided by its length, x [T, H, Dh].
Tensor unit_heads(const Tensor& x) {
  const Tensor length = at::linalg_vector_norm(x, 2, {-1}, true);
  return x / at::clamp(length, 1e-12);
}

// A norm of each head by itself, then weights and biases of all, y [T, H, Dh] -> [T, D].
Tensor head_norm(const ModelConfig& c, const RecurrentMixer& m, const Tensor& y) {
  const double eps = c.norm_eps * static_cast<double>(c.head_dim);
  return ops::layer_norm(y, {}, {}, eps).flatten(1) * m.norm_weight + m.norm_bias;
}

Tensor rwkv7_time_mixing(const ModelConfig& c, const RecurrentMixer& m, int64_t index,
                         const Tensor& x, Tensor& first_value, Attention& memory) {
  constexpr double kMostDecay = 0.6065306597126334;  // e^-0.5: a token forgets 45 % at most
  const Tensor before = ops::token_shift(x, memory.past(index, RecurrentPart::kTimeShift));
  const auto input = [&](size_t i) { return mixed(x, before, m.time_mix[i]); };
  const auto heads = [&](const Tensor& t) { return t.unflatten(-1, {-1, c.head_dim}); };
  const Tensor value_input = input(3);
  const Tensor r = m.receptance.forward(input(0));
  const Tensor decay = m.decay_low.up.forward(at::tanh(m.decay_low.down.forward(input(1))));
  const Tensor plain_k = m.key.forward(input(2));
  Tensor v = m.value.forward(value_input);
  if (index == 0) {
    first_value = v;
  } else {
    const Tensor share = m.value_low.up.forward(m.value_low.down.forward(value_input));
    v = at::lerp(v, first_value, at::sigmoid(share));
  }
  const Tensor rate = at::sigmoid(m.rate_low.up.forward(m.rate_low.down.forward(input(4))));
  const Tensor gate = m.gate_low.up.forward(at::sigmoid(m.gate_low.down.forward(input(5))));
  const Tensor removal = unit_heads(heads(plain_k * m.k_k));
  const Tensor k = plain_k * (1 + (rate - 1) * m.k_a);
  const Tensor y = ops::wkv7({.r = heads(r),
                              .log_decay = heads(at::sigmoid(decay) * -kMostDecay),
                              .k = heads(k),
                              .v = heads(v),
                              .a = -removal,
                              .b = removal * heads(rate)},
                             memory.past(index, RecurrentPart::kState));
  const Tensor own = (heads(r) * heads(k) * m.r_k).sum(-1, true) * heads(v);  // the token itself
  return m.output.forward((head_norm(c, m, y) + own.flatten(1)) * gate);
}

Tensor rwkv7_channel_mixing(const RecurrentMixer& m, int64_t index, const Tensor& x,
                            Attention& memory) {
  const Tensor before = ops::token_shift(x, memory.past(index, RecurrentPart::kChannelShift));
  const Tensor inner = m.channel_key.forward(mixed(x, before, m.channel_mix[0]));
  return m.channel_value.forward(ops::activate(inner, Activation::kReluSquared));
}

}  // namespace

RecurrentMixer make_recurrent(const ModelConfig& c, int64_t index,
                              const at::TensorOptions& options) {
  RecurrentMixer mixer;
  if (is_rwkv4(c)) {
    make_rwkv4(c, c.names.layer(index), options, mixer);
  } else {
    make_rwkv7(c, index, options, mixer);
  }
  return mixer;
}

void visit_recurrent_vectors(
    const ModelConfig& c, const RecurrentMixer& m,
    const std::function<void(const std::string& name, const Tensor& tensor)>& visit) {
  const auto& time = is_rwkv4(c) ? kTimeMix4 : kTimeMix7;
  const auto& channel = is_rwkv4(c) ? kChannelMix4 : kChannelMix7;
  for (size_t i = 0; i < time.size(); ++i) visit(time[i], m.time_mix[i]);
  for (size_t i = 0; i < channel.size(); ++i) visit(channel[i], m.channel_mix[i]);
  if (is_rwkv4(c)) {
    visit("attention.time_decay", m.decay);
    visit("attention.time_first", m.first);
    return;
  }
  visit("attn.k_k", m.k_k);
  visit("attn.k_a", m.k_a);
  visit("attn.r_k", m.r_k);
  visit("attn.g_norm.weight", m.norm_weight);
  visit("attn.g_norm.bias", m.norm_bias);
}

Tensor time_mixing(const ModelConfig& c, const RecurrentMixer& m, int64_t index, const Tensor& x,
                   Tensor& first_value, Attention& memory) {
  return is_rwkv4(c) ? rwkv4_time_mixing(m, index, x, memory)
                     : rwkv7_time_mixing(c, m, index, x, first_value, memory);
}

Tensor channel_mixing(const ModelConfig& c, const RecurrentMixer& m, int64_t index, const Tensor& x,
                      Attention& memory) {
  return is_rwkv4(c) ? rwkv4_channel_mixing(m, index, x, memory)
                     : rwkv7_channel_mixing(m, index, x, memory);
}

std::vector<int64_t> recurrent_state_sizes(const ModelConfig& c, RecurrentPart part) {
  if (part != RecurrentPart::kState) return {c.hidden_size};
  if (is_rwkv4(c)) return {3, c.head_dim};
  return {c.num_attention_heads, c.head_dim, c.head_dim};
}

}  // namespace gradus
