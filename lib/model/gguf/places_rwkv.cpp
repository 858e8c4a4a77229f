// SPDX-License-Identifier: Apache-2.0
#include "model/gguf/places_rwkv.h"

#include "base/error.h"

namespace gradus {
namespace {

using Shape = std::vector<int64_t>;

// One layer's places; names are relative to the layer.
class Builder {
 public:
  Builder(const ModelConfig& config, int64_t index, std::vector<GgufPlace>& places)
      : gguf_(cat("blk.", index, ".")), hf_(config.names.layer(index)), places_(places) {}

  GgufPlace& add(const std::string& gguf, const std::string& hf, const Shape& shape) {
    return add(gguf, hf, shape, shape);
  }
  // The same numbers in another shape.
  GgufPlace& add(const std::string& gguf, const std::string& hf, const Shape& shape,
                 const Shape& hf_shape) {
    places_.push_back({.gguf = gguf_ + gguf,
                       .shape = shape,
                       .width = shape.size() == 1 ? 1 : shape.back(),
                       .slices = {{.hf = hf_ + hf, .hf_shape = hf_shape, .rows = shape[0]}}});
    return places_.back();
  }
  void norm(const std::string& gguf, const std::string& hf, int64_t D, bool bias = true) {
    add(gguf + ".weight", hf + ".weight", {D});
    if (bias) add(gguf + ".bias", hf + ".bias", {D});
  }

  // How much of the token before goes into each projection, one row for each.
  void mixes(int64_t D) {
    GgufPlace& place = add("time_mix_lerp_fused.weight", "attn.x_r", {6, 1, 1, D}, {1, 1, D});
    place.slices.clear();
    for (const char letter : {'r', 'w', 'k', 'v', 'a', 'g'})
      place.slices.push_back({.hf = hf_ + "attn.x_" + letter,
                              .hf_shape = {1, 1, D},
                              .begin = static_cast<int64_t>(place.slices.size()),
                              .rows = 1});
  }

  // A projection through `rank` numbers under the letter `gguf`, made from that of the letter `hf`.
  void low_rank(char gguf, char hf, int64_t rank, int64_t D) {
    const std::string ours = std::string("time_mix_") + gguf;
    const std::string theirs = std::string("attn.") + hf + "_lora.lora.";
    const size_t first = places_.size();
    if (gguf != 'g') add(ours + "0.weight", theirs + "2.bias", {D});
    add(ours + "1.weight", theirs + "0.weight", {rank, D});
    add(ours + "2.weight", theirs + "2.weight", {D, rank});
    for (size_t i = first; i < places_.size(); ++i) places_[i].unused = gguf != hf;
  }

 private:
  std::string gguf_, hf_;
  std::vector<GgufPlace>& places_;
};

}  // namespace

void add_rwkv7_places(const ModelConfig& c, int64_t index, std::vector<GgufPlace>& places) {
  const int64_t D = c.hidden_size, F = c.intermediate_size;
  const RecurrentConfig& r = c.recurrent;
  Builder layer(c, index, places);
  layer.norm("attn_norm", c.names.attention_norm, D, c.norm_bias);
  layer.norm("attn_norm_2", c.names.mlp_norm, D, c.norm_bias);
  layer.mixes(D);
  layer.low_rank('w', 'w', r.decay_rank, D);
  layer.low_rank('a', 'a', r.rate_rank, D);
  // The first layer has no such projection; llama.cpp's converter puts the other one there.
  if (index == 0)
    layer.low_rank('v', 'a', r.rate_rank, D);
  else
    layer.low_rank('v', 'v', r.value_rank, D);
  layer.low_rank('g', 'g', r.gate_rank, D);
  layer.add("time_mix_k_k.weight", "attn.k_k", {D});
  layer.add("time_mix_k_a.weight", "attn.k_a", {D});
  layer.add("time_mix_r_k.weight", "attn.r_k", {D}, {c.num_attention_heads, c.head_dim});
  layer.add("time_mix_key.weight", "attn.k_proj.weight", {D, D});
  layer.add("time_mix_value.weight", "attn.v_proj.weight", {D, D});
  layer.add("time_mix_receptance.weight", "attn.r_proj.weight", {D, D});
  layer.norm("time_mix_ln", "attn.g_norm", D);
  layer.add("time_mix_output.weight", "attn.o_proj.weight", {D, D});
  layer.add("channel_mix_lerp_k.weight", "ffn.x_k", {D});
  layer.add("channel_mix_key.weight", "ffn.key.weight", {F, D});
  layer.add("channel_mix_value.weight", "ffn.value.weight", {D, F});
}

}  // namespace gradus
