// SPDX-License-Identifier: Apache-2.0
#include "model/transformer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/scalar_tensor.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "tensor/checkpoint.h"

namespace gradus {
namespace {

using at::Tensor;

Norm make_norm(const std::string& name, int64_t width, bool with_bias,
               const at::TensorOptions& options) {
  if (name.empty()) return {};
  return {.weight = at::empty({width}, options),
          .bias = with_bias ? at::empty({width}, options) : Tensor()};
}

// A norm of the residual stream.
Norm make_norm(const ModelConfig& c, const std::string& name, const at::TensorOptions& options) {
  if (c.norm == NormKind::kPlainLayer) return {.weight = {}, .bias = {}, .plain = !name.empty()};
  return make_norm(name, c.hidden_size, c.norm_bias, options);
}

// The parts of one product under the names of the files, which may fuse them all into one.
std::vector<LinearPart> make_parts(const std::string& prefix, const std::vector<std::string>& names,
                                   const std::vector<int64_t>& rows) {
  std::vector<LinearPart> parts;
  for (size_t i = 0; i < names.size(); ++i) parts.push_back({prefix + names[i], 0});
  for (size_t i = 0; i < rows.size(); ++i) parts[names.size() == 1 ? 0 : i].rows += rows[i];
  return parts;
}

// First and second projection of a feed-forward block of width F.
void make_mlp(const ModelConfig& c, const std::string& prefix, const TensorNames& n, int64_t F,
              const at::TensorOptions& options, std::pair<Linear*, Linear*> mlp) {
  const std::vector<int64_t> inner = c.gated ? std::vector<int64_t>{F, F} : std::vector<int64_t>{F};
  *mlp.first =
      make_linear(make_parts(prefix, n.gate_up, inner), c.hidden_size, c.mlp_bias, options);
  *mlp.second = make_linear({{prefix + n.down, c.hidden_size}}, F, c.mlp_bias, options);
}

Experts make_experts(const ModelConfig& c, const std::string& prefix,
                     const at::TensorOptions& options) {
  Experts experts;
  const TensorNames& n = c.names;
  const auto count = static_cast<size_t>(c.moe.experts);
  experts.router = at::empty({c.moe.experts, c.hidden_size}, options);
  if (!n.router_bias.empty())
    experts.router_bias = at::empty({c.moe.experts}, options.dtype(at::kFloat));
  experts.gate_up.resize(count);
  experts.down.resize(count);
  TensorNames one, shared;
  one.gate_up = n.expert_gate_up, one.down = n.expert_down;
  shared.gate_up = n.shared_gate_up, shared.down = n.shared_down;
  for (size_t e = 0; e < count; ++e)
    make_mlp(c, cat(prefix, n.experts, e, "."), one, c.moe.intermediate_size, options,
             {&experts.gate_up[e], &experts.down[e]});
  if (c.moe.shared_intermediate_size == 0) return experts;
  make_mlp(c, prefix, shared, c.moe.shared_intermediate_size, options,
           {&experts.shared_gate_up, &experts.shared_down});
  if (n.shared_gate.empty()) return experts;
  experts.shared_gate = make_linear({{prefix + n.shared_gate, 1}}, c.hidden_size, false, options);
  return experts;
}

void make_latent_attention(const ModelConfig& c, const std::string& prefix,
                           const at::TensorOptions& options, DecoderLayer& layer) {
  const LatentConfig& l = c.latent;
  const int64_t H = c.num_attention_heads, q_rows = H * c.head_dim;
  layer.qkv = make_linear(
      make_parts(prefix, c.names.qkv, {l.q_rank > 0 ? l.q_rank : q_rows, l.kv_rank + l.rope_dim}),
      c.hidden_size, c.qkv_bias, options);
  if (l.q_rank > 0) {
    layer.q_norm = make_norm(c.names.q_norm, l.q_rank, false, options);
    layer.q_up = make_linear({{prefix + c.names.q_up, q_rows}}, l.q_rank, false, options);
  }
  layer.k_norm = make_norm(c.names.k_norm, l.kv_rank, false, options);
  layer.kv_up = make_linear({{prefix + c.names.kv_up, H * (l.nope_dim + l.v_dim)}}, l.kv_rank,
                            false, options);
  layer.kv_up.kept_dense = true;
  layer.o = make_linear({{prefix + c.names.o, c.hidden_size}}, H * l.v_dim, c.o_bias, options);
}

void make_attention(const ModelConfig& c, const std::string& prefix,
                    const at::TensorOptions& options, DecoderLayer& layer) {
  const int64_t q_rows = c.num_attention_heads * c.head_dim,
                kv_rows = c.num_key_value_heads * c.head_dim;
  layer.qkv = make_linear(make_parts(prefix, c.names.qkv, {q_rows, kv_rows, kv_rows}),
                          c.hidden_size, c.qkv_bias, options);
  layer.o = make_linear({{prefix + c.names.o, c.hidden_size}}, q_rows, c.o_bias, options);
  if (c.qk_norm == QkNorm::kNone) return;
  const bool shared = c.qk_norm == QkNorm::kSharedHead;
  const auto width = [&](int64_t heads) { return c.head_dim * (shared ? 1 : heads); };
  layer.q_norm = make_norm(c.names.q_norm, width(c.num_attention_heads), c.qk_norm_bias, options);
  layer.k_norm = make_norm(c.names.k_norm, width(c.num_key_value_heads), c.qk_norm_bias, options);
}

void make_projections(const ModelConfig& c, int64_t index, const at::TensorOptions& options,
                      DecoderLayer& layer) {
  const std::string prefix = c.names.layer(index);
  const auto make = c.latent.kv_rank > 0 ? make_latent_attention : make_attention;
  make(c, prefix, options, layer);
  if (!c.layer_moe.empty() && c.layer_moe[static_cast<size_t>(index)] != 0) {
    layer.experts = make_experts(c, prefix, options);
  } else {
    make_mlp(c, prefix, c.names, c.intermediate_size, options, {&layer.gate_up, &layer.down});
  }
  for (Linear* linear : {&layer.qkv, &layer.o, &layer.gate_up, &layer.down})
    linear->transposed_in_files = c.transposed_weights;
}

// The projections of attention, and of what feeds forward; those that a layer lacks have no parts.
template <class Layer, class Visit>
void visit_attention(Layer& layer, const Visit& visit) {
  for (auto* linear : {&layer.qkv, &layer.q_up, &layer.kv_up, &layer.o}) {
    if (!linear->parts.empty()) visit(*linear);
  }
}

template <class Layer, class Visit>
void visit_feed_forward(Layer& layer, const Visit& visit) {
  const auto visit_if_there = [&](auto& linear) {
    if (!linear.parts.empty()) visit(linear);
  };
  visit_if_there(layer.gate_up);
  visit_if_there(layer.down);
  for (size_t e = 0; e < layer.experts.gate_up.size(); ++e) {
    visit(layer.experts.gate_up[e]);
    visit(layer.experts.down[e]);
  }
  visit_if_there(layer.experts.shared_gate_up);
  visit_if_there(layer.experts.shared_down);
  visit_if_there(layer.experts.shared_gate);
  visit_recurrent_linears(layer.recurrent, visit);
}

// Every projection of a layer.
template <class Layer, class Visit>
void visit_layer(Layer& layer, const Visit& visit) {
  visit_attention(layer, visit);
  visit_feed_forward(layer, visit);
}

DecoderLayer make_layer(const ModelConfig& c, int64_t index, const at::TensorOptions& options) {
  DecoderLayer layer;
  const auto norm = [&](const std::string& name) { return make_norm(c, name, options); };
  layer.attention_norm = norm(c.names.attention_norm);
  layer.attention_post_norm = norm(c.names.attention_post_norm);
  layer.mlp_norm = norm(c.names.mlp_norm);
  layer.mlp_post_norm = norm(c.names.mlp_post_norm);
  if (c.recurrent.kind != RecurrentKind::kNone) {
    layer.recurrent = make_recurrent(c, index, options);
    return layer;
  }
  make_projections(c, index, options, layer);
  return layer;
}

// 2^(-i · bias_max / n) for n heads, a power of two; other counts take every second slope of the
// next power first (the code that Press et al. published).
Tensor make_alibi_slopes(const ModelConfig& c) {
  const int64_t H = c.num_attention_heads;
  int64_t n = 1;
  while (n < H) n *= 2;
  Tensor slopes = at::empty({H}, at::kFloat);
  auto* out = slopes.data_ptr<float>();
  for (int64_t i = 0; i < H; ++i) {
    const int64_t power = n == H ? i + 1 : i < n / 2 ? 2 * (i + 1) : 2 * (i - n / 2) + 1;
    out[i] = static_cast<float>(
        std::pow(2.0, -c.alibi.bias_max * static_cast<double>(power) / static_cast<double>(n)));
  }
  return slopes.to(c.alibi.in_bfloat16 ? at::kBFloat16 : at::kFloat);
}

void add_tensor(std::vector<NamedTensor>& list, const std::string& name, const Tensor& tensor) {
  if (tensor.defined()) list.push_back({name, tensor.detach(), tensor});
}

void add_linear(std::vector<NamedTensor>& list, const Linear& layer) {
  const bool transposed = layer.transposed_in_files;
  for (size_t part = 0; part < layer.parts.size(); ++part) {
    const auto& [name, rows] = layer.parts[part];
    const int64_t first = layer.first_row(part);
    if (layer.weight.defined()) {
      const Tensor weight = layer.weight.detach().narrow(0, first, rows);
      list.push_back(
          {name + ".weight", transposed ? weight.t() : weight, layer.weight, transposed});
    }
    if (layer.bias.defined())
      list.push_back({name + ".bias", layer.bias.detach().narrow(0, first, rows), layer.bias});
  }
}

void add_norm(std::vector<NamedTensor>& list, const std::string& name, const Norm& norm) {
  add_tensor(list, name + ".weight", norm.weight);
  add_tensor(list, name + ".bias", norm.bias);
}

// The norms of queries or keys; with a weight for each head, files hold a matrix or number them.
void add_head_norm(std::vector<NamedTensor>& list, const ModelConfig& c, const std::string& name,
                   const Norm& norm) {
  if (c.qk_norm != QkNorm::kEachHead) return add_norm(list, name, norm);
  if (!name.ends_with('.')) {
    list.push_back({name + ".weight", norm.weight.detach().view({-1, c.head_dim}), norm.weight});
    return;
  }
  for (int64_t head = 0; head * c.head_dim < norm.weight.size(0); ++head) {
    const auto part = [&](const Tensor& all) {
      return all.detach().narrow(0, head * c.head_dim, c.head_dim);
    };
    list.push_back({cat(name, head, ".weight"), part(norm.weight), norm.weight});
    if (norm.bias.defined()) list.push_back({cat(name, head, ".bias"), part(norm.bias), norm.bias});
  }
}

void add_layer(std::vector<NamedTensor>& list, const ModelConfig& c, const std::string& prefix,
               const DecoderLayer& layer) {
  add_norm(list, prefix + c.names.attention_norm, layer.attention_norm);
  add_linear(list, layer.qkv);
  if (layer.q_norm.weight.defined()) add_head_norm(list, c, prefix + c.names.q_norm, layer.q_norm);
  if (layer.k_norm.weight.defined()) add_head_norm(list, c, prefix + c.names.k_norm, layer.k_norm);
  for (const Linear* linear : {&layer.q_up, &layer.kv_up, &layer.o}) add_linear(list, *linear);
  add_norm(list, prefix + c.names.attention_post_norm, layer.attention_post_norm);
  add_norm(list, prefix + c.names.mlp_norm, layer.mlp_norm);
  if (layer.experts.router.defined())
    add_tensor(list, prefix + c.names.router + ".weight", layer.experts.router);
  if (layer.experts.router_bias.defined()) {
    add_tensor(list, prefix + c.names.router_bias, layer.experts.router_bias);
    list.back().is_buffer = true;
  }
  if (c.recurrent.kind != RecurrentKind::kNone) {
    visit_recurrent_vectors(c, layer.recurrent, [&](const std::string& name, const Tensor& tensor) {
      add_tensor(list, prefix + name, tensor);
    });
  }
  visit_feed_forward(layer, [&](const Linear& linear) { add_linear(list, linear); });
  add_norm(list, prefix + c.names.mlp_post_norm, layer.mlp_post_norm);
}

bool is_trained(const Tensor& tensor) { return tensor.defined() && tensor.requires_grad(); }
bool is_trained(const Norm& norm) { return is_trained(norm.weight) || is_trained(norm.bias); }
bool is_trained(const Linear& layer) {
  return is_trained(layer.weight) || is_trained(layer.bias) ||
         std::any_of(layer.lora.begin(), layer.lora.end(), [](const LoraPair& pair) {
           return is_trained(pair.a) || is_trained(pair.b) || is_trained(pair.magnitude) ||
                  is_trained(pair.bias);
         });
}
bool is_trained(const ModelConfig& c, const DecoderLayer& layer) {
  bool trained = is_trained(layer.attention_norm) || is_trained(layer.attention_post_norm) ||
                 is_trained(layer.mlp_norm) || is_trained(layer.mlp_post_norm) ||
                 is_trained(layer.q_norm) || is_trained(layer.k_norm) ||
                 is_trained(layer.experts.router);
  visit_layer(layer, [&](const Linear& linear) { trained = trained || is_trained(linear); });
  if (c.recurrent.kind == RecurrentKind::kNone) return trained;
  visit_recurrent_vectors(c, layer.recurrent, [&](const std::string&, const Tensor& tensor) {
    trained = trained || is_trained(tensor);
  });
  return trained;
}

template <class Model, class Visit>
void visit_linears(Model& model, const Visit& visit) {
  for (auto& layer : model.layers()) visit_layer(layer, visit);
  if (!model.config().tie_word_embeddings || model.output.quantized) visit(model.output);
}

Linear make_output(const ModelConfig& c, const Tensor& embedding,
                   const at::TensorOptions& options) {
  if (!c.tie_word_embeddings)
    return make_linear({{c.names.output, c.vocab_size}}, c.hidden_size, c.output_bias, options);
  Linear output;
  output.parts = {{c.names.output, c.vocab_size}};
  output.in_features = c.hidden_size;
  output.weight = embedding;
  return output;
}

// 1 / the length of each row of weight [V, D], fp32 [V]; by parts, for the fp32 copy is large.
Tensor inverse_lengths(const Tensor& weight) {
  std::vector<Tensor> parts;
  for (const Tensor& rows : weight.split(512))
    parts.push_back(at::linalg_vector_norm(rows.to(at::kFloat), 2, {1}));
  return at::cat(parts, 0).clamp_min(1e-12).reciprocal();
}

void check_length(const Tensor& positions, int64_t most) {
  const auto last = most > 0 ? positions.max().item<int64_t>() : 0;
  if (last < most || most == 0) return;
  throw Error({.what = "the sequence is longer than this model can compute",
               .expected = cat("at most ", most, " tokens"),
               .found = cat(last + 1)});
}

}  // namespace

Transformer::Transformer(ModelConfig config, c10::ScalarType dtype, c10::Device device)
    : config_(std::move(config)), dtype_(dtype), device_(device) {
  const auto options = at::TensorOptions().dtype(dtype).device(device);
  embedding = at::empty({config_.vocab_size, config_.hidden_size}, options);
  if (config_.positions == Positions::kLearned)
    position_embedding = at::empty({config_.max_position_embeddings, config_.hidden_size}, options);
  embedding_norm = make_norm(config_, config_.names.embedding_norm, options);
  final_norm = make_norm(config_, config_.names.final_norm, options);
  for (int64_t i = 0; i < config_.num_hidden_layers; ++i)
    layers_.push_back(make_layer(config_, i, options));
  output = make_output(config_, embedding, options);
  output.kept_dense = config_.output_normalised;
  for (const RopeConfig& rope : config_.ropes) ropes_.emplace_back(rope, device);
  if (config_.positions == Positions::kAlibi) alibi_slopes_ = make_alibi_slopes(config_).to(device);
}

// The columns of an adapter's A belong to tokens: A x is a look-up too.
Tensor Transformer::look_up(const Tensor& ids) const {
  const Tensor x = at::embedding(embedding, ids);  // [T, D]
  if (!embedding_lora.a.defined()) return x;
  const Tensor narrow = at::embedding(embedding_lora.a.t(), ids) * embedding_lora.scale;
  const Tensor y = x + ops::linear(narrow, embedding_lora.b, {}).to(x.scalar_type());
  if (!embedding_lora.magnitude.defined()) return y;
  return (y * row_gains(embedding.t(), embedding_lora)).to(x.scalar_type());
}

Tensor Transformer::embed(const Tensor& ids, const Tensor& positions) const {
  check_length(positions, config_.longest_sequence);
  Tensor x = look_up(ids);
  if (config_.embedding_scale != 1.0) {
    const double scale = config_.embedding_scale;
    x = x * (config_.embedding_scale_in_dtype
                 ? at::scalar_tensor(scale, at::TensorOptions().dtype(dtype_)).item<double>()
                 : scale);
  }
  x = apply_norm(config_, embedding_norm, x);
  return position_embedding.defined() ? x + at::embedding(position_embedding, positions) : x;
}

std::vector<LayerContext> Transformer::layer_contexts(const Tensor& positions,
                                                      const Attention& attention) const {
  const std::vector<SequenceTokens> sequences = attention.sequences();
  std::vector<Rotary> tables;
  for (const RotaryEmbedding& rope : ropes_) tables.push_back(rope.tables(positions, sequences));
  std::vector<LayerContext> contexts(layers_.size());
  for (size_t i = 0; i < contexts.size(); ++i) {
    contexts[i].index = static_cast<int64_t>(i);
    contexts[i].alibi_slopes = alibi_slopes_;
    if (ropes_.empty() || config_.layer_rope[i] < 0) continue;
    const auto rope = static_cast<size_t>(config_.layer_rope[i]);
    contexts[i].rotary = tables[rope];
    contexts[i].interleaved = ropes_[rope].interleaved();
  }
  return contexts;
}

void Transformer::untie_output() {
  if (!config_.tie_word_embeddings) return;
  config_.tie_word_embeddings = false;
  output.weight = embedding.detach().clone();
}

Tensor Transformer::forward(const Tensor& ids, const Tensor& positions,
                            Attention& attention) const {
  const std::vector<LayerContext> contexts = layer_contexts(positions, attention);
  Stream stream = {embed(ids, positions)};
  for (size_t i = 0; i < layers_.size(); ++i) {
    const auto layer = [this, i, &attention, context = contexts[i]](const Stream& input) {
      return layer_forward(config_, layers_[i], context, input, attention);
    };
    const bool recompute = activation_memory_ == ActivationMemory::kRecompute &&
                           (stream[0].requires_grad() || is_trained(config_, layers_[i]));
    Stream next = recompute ? ops::checkpoint(layer, stream) : layer(stream);
    stream.resize(std::max(stream.size(), next.size()));
    std::move(next.begin(), next.end(), stream.begin());
  }
  const Tensor x = apply_norm(config_, final_norm, stream[0]);
  return config_.logits_scale == 1.0 ? x : x * config_.logits_scale;
}

Tensor Transformer::logits(const Tensor& hidden) const {
  Tensor product = output.forward(hidden);
  if (config_.output_normalised) product = product * inverse_lengths(output.weight);
  return ops::softcap(product, config_.logits_softcap);
}

ops::OutputHead Transformer::output_head() const {
  if (!output.weight.defined() || !output.lora.empty())
    throw Error("this needs an output projection that is neither quantised nor adapted");
  Tensor weight = output.weight;
  if (config_.output_normalised)
    weight = (weight * inverse_lengths(weight).unsqueeze(1)).to(weight.scalar_type());
  return {weight, output.bias, config_.logits_softcap};
}

std::vector<NamedTensor> Transformer::named_tensors() const {
  std::vector<NamedTensor> list;
  add_tensor(list, config_.names.embedding + ".weight", embedding);
  add_tensor(list, config_.names.positions + ".weight", position_embedding);
  if (embedding_norm.weight.defined()) add_norm(list, config_.names.embedding_norm, embedding_norm);
  for (size_t i = 0; i < layers_.size(); ++i)
    add_layer(list, config_, config_.names.layer(static_cast<int64_t>(i)), layers_[i]);
  add_norm(list, config_.names.final_norm, final_norm);
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
