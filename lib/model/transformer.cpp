// SPDX-License-Identifier: Apache-2.0
#include "model/transformer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/sin.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "tensor/checkpoint.h"

namespace gradus {
namespace {

using at::Tensor;

struct Rotary {
  Tensor cos, sin;  // [T, Dh/2] fp32
};

Tensor empty_vector(int64_t size, const at::TensorOptions& options) {
  return at::empty({size}, options);
}

Linear make_linear(std::vector<LinearPart> parts, int64_t in_features, bool with_bias,
                   const at::TensorOptions& options) {
  Linear layer;
  layer.parts = std::move(parts);
  layer.in_features = in_features;
  layer.weight = at::empty({layer.out_features(), in_features}, options);
  if (with_bias) layer.bias = empty_vector(layer.out_features(), options);
  return layer;
}

DecoderLayer make_layer(const ModelConfig& c, int64_t index, const at::TensorOptions& options) {
  const std::string prefix = "model.layers." + std::to_string(index) + ".";
  const std::string attention = prefix + "self_attn.", mlp = prefix + "mlp.";
  const int64_t q_rows = c.num_attention_heads * c.head_dim,
                kv_rows = c.num_key_value_heads * c.head_dim;
  DecoderLayer layer;
  layer.input_norm = empty_vector(c.hidden_size, options);
  layer.post_attention_norm = empty_vector(c.hidden_size, options);
  if (c.qk_norm) {
    layer.q_norm = empty_vector(c.head_dim, options);
    layer.k_norm = empty_vector(c.head_dim, options);
  }
  layer.qkv = make_linear({{attention + "q_proj", q_rows},
                           {attention + "k_proj", kv_rows},
                           {attention + "v_proj", kv_rows}},
                          c.hidden_size, c.qkv_bias, options);
  layer.o = make_linear({{attention + "o_proj", c.hidden_size}}, q_rows, c.o_bias, options);
  layer.gate_up = make_linear(
      {{mlp + "gate_proj", c.intermediate_size}, {mlp + "up_proj", c.intermediate_size}},
      c.hidden_size, c.mlp_bias, options);
  layer.down =
      make_linear({{mlp + "down_proj", c.hidden_size}}, c.intermediate_size, c.mlp_bias, options);
  return layer;
}

Rotary rotary_tables(const Tensor& positions, const Tensor& inverse_frequencies) {
  const Tensor angles = positions.to(at::kFloat).unsqueeze(1) * inverse_frequencies.unsqueeze(0);
  return {at::cos(angles), at::sin(angles)};
}

// Attention block: norm, projections, rotary embedding, attention, output projection.
Tensor attention_block(const ModelConfig& c, const DecoderLayer& layer, int64_t index,
                       const Tensor& x, const Rotary& rotary, Attention& attention) {
  const int64_t T = x.size(0);
  const int64_t H = c.num_attention_heads, Hkv = c.num_key_value_heads;
  const auto parts = layer.qkv.forward(ops::rms_norm(x, layer.input_norm, c.rms_norm_eps))
                         .view({T, H + 2 * Hkv, c.head_dim})
                         .split_with_sizes({H, Hkv, Hkv}, 1);  // its gradient is one cat
  Tensor q = parts[0], k = parts[1];                           // [T, H, Dh], [T, Hkv, Dh]
  const Tensor& v = parts[2];
  if (c.qk_norm) {
    q = ops::rms_norm(q, layer.q_norm, c.rms_norm_eps);
    k = ops::rms_norm(k, layer.k_norm, c.rms_norm_eps);
  }
  q = ops::rotary(q, rotary.cos, rotary.sin);
  k = ops::rotary(k, rotary.cos, rotary.sin);
  const ops::AttentionOptions options{.scale = 1.0 / std::sqrt(static_cast<double>(c.head_dim)),
                                      .window = c.layer_window[static_cast<size_t>(index)]};
  const Tensor mixed = attention.attend(index, q, k, v, options);
  return layer.o.forward(mixed.reshape({T, c.num_attention_heads * c.head_dim}));
}

Tensor mlp_block(const ModelConfig& c, const DecoderLayer& layer, const Tensor& x) {
  const Tensor normed = ops::rms_norm(x, layer.post_attention_norm, c.rms_norm_eps);
  return layer.down.forward(ops::swiglu(layer.gate_up.forward(normed)));
}

void add_linear(std::vector<NamedTensor>& list, const Linear& layer) {
  for (size_t part = 0; part < layer.parts.size(); ++part) {
    const auto& [name, rows] = layer.parts[part];
    const int64_t first = layer.first_row(part);
    if (layer.weight.defined())
      list.push_back(
          {name + ".weight", layer.weight.detach().narrow(0, first, rows), layer.weight});
    if (layer.bias.defined())
      list.push_back({name + ".bias", layer.bias.detach().narrow(0, first, rows), layer.bias});
  }
}

void add_tensor(std::vector<NamedTensor>& list, const std::string& name, const Tensor& tensor) {
  if (tensor.defined()) list.push_back({name, tensor.detach(), tensor});
}

bool requires_gradient(const Tensor& tensor) { return tensor.defined() && tensor.requires_grad(); }

bool is_trained(const Linear& layer) {
  return requires_gradient(layer.weight) || requires_gradient(layer.bias) ||
         std::any_of(layer.lora.begin(), layer.lora.end(), [](const LoraPair& pair) {
           return requires_gradient(pair.a) || requires_gradient(pair.b) ||
                  requires_gradient(pair.magnitude);
         });
}

bool is_trained(const DecoderLayer& layer) {
  return requires_gradient(layer.input_norm) || requires_gradient(layer.post_attention_norm) ||
         requires_gradient(layer.q_norm) || requires_gradient(layer.k_norm) ||
         is_trained(layer.qkv) || is_trained(layer.o) || is_trained(layer.gate_up) ||
         is_trained(layer.down);
}

template <class Model, class Visit>
void visit_linears(Model& model, const Visit& visit) {
  for (auto& layer : model.layers()) {
    visit(layer.qkv);
    visit(layer.o);
    visit(layer.gate_up);
    visit(layer.down);
  }
  if (!model.config().tie_word_embeddings || model.output.quantized) visit(model.output);
}

}  // namespace

Tensor rope_inverse_frequencies(const ModelConfig& config) {
  const RopeConfig& rope = config.rope;
  const int64_t half = config.head_dim / 2;
  Tensor frequencies = at::empty({half}, at::kFloat);
  auto* out = frequencies.data_ptr<float>();
  for (int64_t i = 0; i < half; ++i) {
    double frequency = 1.0 / std::pow(rope.theta, static_cast<double>(2 * i) /
                                                      static_cast<double>(config.head_dim));
    if (rope.type == RopeType::kLinear) frequency /= rope.factor;
    if (rope.type == RopeType::kLlama3) {
      const double original = static_cast<double>(rope.original_max_position_embeddings);
      const double wavelength = 2 * M_PI / frequency;
      const double smooth = (original / wavelength - rope.low_freq_factor) /
                            (rope.high_freq_factor - rope.low_freq_factor);
      if (wavelength > original / rope.low_freq_factor) {
        frequency /= rope.factor;
      } else if (wavelength >= original / rope.high_freq_factor) {
        frequency = (1 - smooth) * frequency / rope.factor + smooth * frequency;
      }
    }
    out[i] = static_cast<float>(frequency);
  }
  return frequencies;
}

Transformer::Transformer(ModelConfig config, c10::ScalarType dtype, c10::Device device)
    : config_(std::move(config)), dtype_(dtype), device_(device) {
  const auto options = at::TensorOptions().dtype(dtype).device(device);
  embedding = at::empty({config_.vocab_size, config_.hidden_size}, options);
  final_norm = empty_vector(config_.hidden_size, options);
  for (int64_t i = 0; i < config_.num_hidden_layers; ++i)
    layers_.push_back(make_layer(config_, i, options));
  if (config_.tie_word_embeddings) {
    output.parts = {{"lm_head", config_.vocab_size}};
    output.in_features = config_.hidden_size;
    output.weight = embedding;
  } else {
    output = make_linear({{"lm_head", config_.vocab_size}}, config_.hidden_size, false, options);
  }
  inverse_frequencies_ = rope_inverse_frequencies(config_).to(device);
}

// The columns of the adapter's A belong to tokens: A x is a look-up too.
Tensor Transformer::embed(const Tensor& ids) const {
  const Tensor x = at::embedding(embedding, ids);
  if (!embedding_lora.a.defined()) return x;
  const Tensor narrow = at::embedding(embedding_lora.a.t(), ids) * embedding_lora.scale;
  return x + ops::linear(narrow, embedding_lora.b, {}).to(x.scalar_type());
}

void Transformer::untie_output() {
  if (!config_.tie_word_embeddings) return;
  config_.tie_word_embeddings = false;
  output.weight = embedding.detach().clone();
}

Tensor Transformer::forward(const Tensor& ids, const Tensor& positions,
                            Attention& attention) const {
  const Rotary rotary = rotary_tables(positions, inverse_frequencies_);
  Tensor x = embed(ids);  // [T, D]
  for (size_t i = 0; i < layers_.size(); ++i) {
    const auto layer = [this, i, &attention, rotary](const Tensor& input) {
      const Tensor mixed = input + attention_block(config_, layers_[i], static_cast<int64_t>(i),
                                                   input, rotary, attention);
      return mixed + mlp_block(config_, layers_[i], mixed);
    };
    const bool recompute = activation_memory_ == ActivationMemory::kRecompute &&
                           (x.requires_grad() || is_trained(layers_[i]));
    x = recompute ? ops::checkpoint(layer, x) : layer(x);
  }
  return ops::rms_norm(x, final_norm, config_.rms_norm_eps);
}

Tensor Transformer::logits(const Tensor& hidden) const { return output.forward(hidden); }

const Tensor& Transformer::output_weight() const {
  if (!output.weight.defined() || !output.lora.empty())
    throw Error("this needs an output projection that is neither quantised nor adapted");
  return output.weight;
}

std::vector<NamedTensor> Transformer::named_tensors() const {
  std::vector<NamedTensor> list;
  add_tensor(list, "model.embed_tokens.weight", embedding);
  for (size_t i = 0; i < layers_.size(); ++i) {
    const DecoderLayer& layer = layers_[i];
    const std::string prefix = "model.layers." + std::to_string(i) + ".";
    add_tensor(list, prefix + "input_layernorm.weight", layer.input_norm);
    add_linear(list, layer.qkv);
    add_tensor(list, prefix + "self_attn.q_norm.weight", layer.q_norm);
    add_tensor(list, prefix + "self_attn.k_norm.weight", layer.k_norm);
    add_linear(list, layer.o);
    add_tensor(list, prefix + "post_attention_layernorm.weight", layer.post_attention_norm);
    add_linear(list, layer.gate_up);
    add_linear(list, layer.down);
  }
  add_tensor(list, "model.norm.weight", final_norm);
  if (!config_.tie_word_embeddings) add_linear(list, output);
  return list;
}

void require_dense(const Transformer& model, const std::string& action) {
  model.for_each_linear([&](const Linear& layer) {
    if (!layer.quantized) return;
    throw Error({.what = "a quantised model cannot be " + action,
                 .where = layer.parts[0].name,
                 .hint = "use the model that it was quantised from"});
  });
}

void Transformer::for_each_linear(const std::function<void(Linear&)>& visit) {
  visit_linears(*this, visit);
}
void Transformer::for_each_linear(const std::function<void(const Linear&)>& visit) const {
  visit_linears(*this, visit);
}

}  // namespace gradus
