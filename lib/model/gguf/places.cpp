// SPDX-License-Identifier: Apache-2.0
#include "model/gguf/places.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "model/gguf/places_rwkv.h"

namespace gradus {
namespace {

const GgufTensor* find(const GgufImage* image, const std::string& name) {
  if (!image) return nullptr;
  const auto found = std::find_if(image->tensors.begin(), image->tensors.end(),
                                  [&](const GgufTensor& tensor) { return tensor.name == name; });
  return found == image->tensors.end() ? nullptr : &*found;
}

class Builder {
 public:
  Builder(const ModelConfig& config, const GgufArchitecture& architecture, const GgufImage* image)
      : c_(config), architecture_(architecture), image_(image) {}

  std::vector<GgufPlace> build() {
    const TensorNames& n = c_.names;
    plain("token_embd.weight", n.embedding + ".weight", {c_.vocab_size, c_.hidden_size});
    if (c_.positions == Positions::kLearned)
      plain("position_embd.weight", n.positions + ".weight",
            {c_.max_position_embeddings, c_.hidden_size});
    norm("token_embd_norm", n.embedding_norm, c_.hidden_size);
    for (int64_t i = 0; i < c_.num_hidden_layers; ++i) {
      if (architecture_.layers == GgufLayers::kRwkv7)
        add_rwkv7_places(c_, i, places_);
      else
        layer(i);
    }
    gguf_prefix_ = hf_prefix_ = "";
    norm("output_norm", n.final_norm, c_.hidden_size);
    if (!c_.tie_word_embeddings)
      plain("output.weight", n.output + ".weight", {c_.vocab_size, c_.hidden_size});
    if (c_.output_bias) vector("output.bias", n.output + ".bias", c_.vocab_size);
    return std::move(places_);
  }

 private:
  struct Norms {
    const char *attention = "attn_norm", *mlp = "ffn_norm";
  };

  void layer(int64_t index) {
    gguf_prefix_ = cat("blk.", index, ".");
    hf_prefix_ = c_.names.layer(index);
    const TensorNames& n = c_.names;
    const int64_t D = c_.hidden_size;
    // Falcon's two parallel norms: the file's usual one is that of the MLP.
    const bool two =
        c_.residual == Residual::kParallel && c_.model_type == "falcon" && !n.mlp_norm.empty();
    const bool behind = c_.model_type == "seed_oss";  // by name only
    const Norms norms = two      ? Norms{"attn_norm_2", "attn_norm"}
                        : behind ? Norms{"attn_norm", "post_attention_norm"}
                                 : Norms{};
    norm(norms.attention, n.attention_norm, D);
    qkv();
    linear("attn_output", n.o, D, c_.num_attention_heads * c_.head_dim, c_.o_bias);
    qk_norms();
    norm("post_attention_norm", n.attention_post_norm, D);
    norm(norms.mlp, n.mlp_norm, D);
    const bool sparse = !c_.layer_moe.empty() && c_.layer_moe[static_cast<size_t>(index)] != 0;
    sparse ? experts() : mlp();
    norm("post_ffw_norm", n.mlp_post_norm, D);
  }

  GgufPlace& add(const std::string& gguf, std::vector<int64_t> shape, int64_t width) {
    places_.push_back({.gguf = gguf_prefix_ + gguf, .shape = std::move(shape), .width = width});
    return places_.back();
  }

  // The same rows in both.
  GgufPlace& plain(const std::string& gguf, const std::string& hf, std::vector<int64_t> shape) {
    const int64_t rows = shape[0];
    GgufPlace& place = add(gguf, shape, shape.size() == 1 ? 1 : shape.back());
    place.slices = {{.hf = hf_prefix_ + hf, .hf_shape = std::move(shape), .rows = rows}};
    return place;
  }
  GgufPlace& vector(const std::string& gguf, const std::string& hf, int64_t size) {
    return plain(gguf, hf, {size});
  }

  void norm(const std::string& gguf, const std::string& hf, int64_t size) {
    if (hf.empty() || c_.norm == NormKind::kPlainLayer) return;
    GgufPlace& weight = vector(gguf + ".weight", hf + ".weight", size);
    if (c_.norm == NormKind::kRmsPlusOne) weight.shift = 1;
    if (c_.norm_bias) vector(gguf + ".bias", hf + ".bias", size);
  }

  // A projection from K to N numbers.
  void linear(const std::string& gguf, const std::string& hf, int64_t N, int64_t K, bool bias) {
    transpose(plain(gguf + ".weight", hf + ".weight", {N, K}));
    if (bias) vector(gguf + ".bias", hf + ".bias", N);
  }

  void transpose(GgufPlace& place) const {
    if (!c_.transposed_weights) return;
    place.transposed = true;
    for (GgufSlice& slice : place.slices) std::swap(slice.hf_shape[0], slice.hf_shape[1]);
  }

  // How the rows of q (0), k (1) or v (2) stand in their tensor of the checkpoint.
  RowOrder order_of(size_t part) const {
    const int64_t group = c_.num_attention_heads / c_.num_key_value_heads;
    RowOrder order{.head = c_.head_dim};
    order.interleaved = part != 2 && architecture_.qk_rows == QkRows::kInterleaved;
    if (c_.names.qkv.size() != 1) return order;
    if (c_.qkv_layout == QkvLayout::kGrouped) {
      order.per = part == 0 ? group : 1;
      order.stride = group + 2;
      order.first = part == 0 ? 0 : group + static_cast<int64_t>(part) - 1;
    } else if (part > 0) {
      order.first =
          c_.num_attention_heads + (static_cast<int64_t>(part) - 1) * c_.num_key_value_heads;
    }
    return order;
  }

  GgufSlice qkv_slice(size_t part, const std::string& suffix) const {
    const bool fused = c_.names.qkv.size() == 1;
    const int64_t heads = part == 0 ? c_.num_attention_heads : c_.num_key_value_heads;
    const int64_t all = c_.num_attention_heads + 2 * c_.num_key_value_heads;
    std::vector<int64_t> shape{(fused ? all : heads) * c_.head_dim};
    if (suffix == ".weight") shape.push_back(c_.hidden_size);
    return {.hf = hf_prefix_ + c_.names.qkv[fused ? 0 : part] + suffix,
            .hf_shape = std::move(shape),
            .rows = heads * c_.head_dim,
            .order = order_of(part)};
  }

  void qkv() {
    qkv(".weight");
    if (c_.qkv_bias) qkv(".bias");
  }

  void qkv(const std::string& suffix) {
    static constexpr const char* kNames[] = {"attn_q", "attn_k", "attn_v"};
    const bool matrix = suffix == ".weight";
    const int64_t width = matrix ? c_.hidden_size : 1;
    const auto shape = [&](int64_t rows) {
      return matrix ? std::vector<int64_t>{rows, width} : std::vector<int64_t>{rows};
    };
    if (architecture_.qkv == GgufQkv::kFused) {
      GgufPlace& place = add("attn_qkv" + suffix, {}, width);
      int64_t rows = 0;
      for (size_t part = 0; part < 3; ++part) {
        place.slices.push_back(qkv_slice(part, suffix));
        place.slices.back().begin = std::exchange(rows, rows + place.slices.back().rows);
      }
      place.shape = shape(rows);
      if (matrix) transpose(place);
      return;
    }
    for (size_t part = 0; part < 3; ++part) {
      GgufSlice slice = qkv_slice(part, suffix);
      GgufPlace& place = add(kNames[part] + suffix, shape(slice.rows), width);
      place.slices = {std::move(slice)};
      if (matrix) transpose(place);
    }
  }

  void qk_norm(const std::string& gguf, const std::string& hf, int64_t heads) {
    const int64_t Dh = c_.head_dim;
    if (c_.qk_norm != QkNorm::kEachHead) {
      const int64_t size = c_.qk_norm == QkNorm::kFull ? heads * Dh : Dh;
      GgufPlace& weight = vector(gguf + ".weight", hf + ".weight", size);
      if (c_.norm == NormKind::kRmsPlusOne) weight.shift = 1;
      if (c_.qk_norm_bias) vector(gguf + ".bias", hf + ".bias", size);
      return;
    }
    GgufPlace& place = add(gguf + ".weight", {heads, Dh}, Dh);
    if (!holds(place)) return;
    if (!hf.ends_with('.')) {
      place.slices = {{.hf = hf_prefix_ + hf + ".weight", .hf_shape = {heads, Dh}, .rows = heads}};
      return;
    }
    for (int64_t head = 0; head < heads; ++head)
      place.slices.push_back(
          {.hf = cat(hf_prefix_, hf, head, ".weight"), .hf_shape = {Dh}, .begin = head, .rows = 1});
  }

  void qk_norms() {
    if (c_.qk_norm == QkNorm::kNone) return;
    qk_norm("attn_q_norm", c_.names.q_norm, c_.num_attention_heads);
    qk_norm("attn_k_norm", c_.names.k_norm, c_.num_key_value_heads);
  }

  void mlp() {
    const int64_t D = c_.hidden_size, F = c_.intermediate_size;
    const auto& names = c_.names.gate_up;
    if (c_.gated && names.size() == 2) {
      linear("ffn_gate", names[0], F, D, c_.mlp_bias);
      linear("ffn_up", names[1], F, D, c_.mlp_bias);
    } else {
      linear("ffn_up", names[0], c_.gated ? 2 * F : F, D, c_.mlp_bias);
    }
    linear("ffn_down", c_.names.down, D, F, c_.mlp_bias);
  }

  // Whether the image, if there is one, has the tensor in this shape.
  bool holds(const GgufPlace& place) const {
    const GgufTensor* tensor = find(image_, place.gguf);
    return !image_ || (tensor && tensor->shape == place.shape);
  }

  // Of experts that files hold in one tensor, part `part` of `of`.
  void slices_of_stack(GgufPlace& place, const StackedNames& stacked, int64_t part, int64_t of) {
    const int64_t E = place.shape[0], N = place.shape[1], K = place.shape[2];
    for (int64_t e = 0; e < E; ++e)
      place.slices.push_back({.hf = hf_prefix_ + stacked.whole.substr(1),
                              .hf_shape = {E, of * N, K},
                              .begin = e * N,
                              .rows = N,
                              .order = {.head = N, .first = of * e + part}});
  }

  void stack(const std::string& gguf, const std::string& leaf, int64_t N, int64_t K) {
    const int64_t E = c_.moe.experts;
    GgufPlace& place = add(gguf + ".weight", {E, N, K}, K);
    if (!holds(place)) return;
    const auto& stacked = c_.names.stacked;
    if (!stacked.empty()) {
      const bool down = gguf == "ffn_down_exps";
      return slices_of_stack(place, stacked[down ? 1 : 0], gguf == "ffn_up_exps" ? 1 : 0,
                             down ? 1 : 2);
    }
    for (int64_t e = 0; e < E; ++e)
      place.slices.push_back({.hf = cat(hf_prefix_, c_.names.experts, e, ".", leaf, ".weight"),
                              .hf_shape = {N, K},
                              .begin = e * N,
                              .rows = N});
  }

  void experts() {
    const int64_t D = c_.hidden_size, F = c_.moe.intermediate_size;
    const int64_t S = c_.moe.shared_intermediate_size;
    const TensorNames& n = c_.names;
    plain("ffn_gate_inp.weight", n.router + ".weight", {c_.moe.experts, D});
    stack("ffn_gate_exps", n.expert_gate_up.front(), F, D);
    stack("ffn_up_exps", n.expert_gate_up.back(), F, D);
    stack("ffn_down_exps", n.expert_down, D, F);
    if (S == 0) return;
    GgufPlace& gate = add("ffn_gate_inp_shexp.weight", {D}, D);
    gate.slices = {{.hf = hf_prefix_ + n.shared_gate + ".weight", .hf_shape = {1, D}, .rows = 1}};
    linear("ffn_gate_shexp", n.shared_gate_up[0], S, D, false);
    linear("ffn_up_shexp", n.shared_gate_up[1], S, D, false);
    linear("ffn_down_shexp", n.shared_down, D, S, false);
  }

  const ModelConfig& c_;
  const GgufArchitecture& architecture_;
  const GgufImage* image_;
  std::string gguf_prefix_, hf_prefix_;
  std::vector<GgufPlace> places_;
};

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (const int64_t size : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
}

// They became rope_scaling.
bool scales_rotation(const std::string& name) {
  return name == "rope_freqs.weight" || name == "rope_factors_long.weight" ||
         name == "rope_factors_short.weight";
}

// Collects placements and problems, so that one message lists all of them.
class Placer {
 public:
  Placer(const GgufImage& image, const std::string& where) : image_(image), where_(where) {
    for (const GgufTensor& tensor : image.tensors) {
      if (!scales_rotation(tensor.name)) left_.emplace(tensor.name, &tensor);
    }
  }

  void place(const GgufPlace& place) {
    const auto found = left_.find(place.gguf);
    if (found == left_.end()) {
      if (!place.unused) problems_.push_back("'" + place.gguf + "' is missing");
      return;
    }
    const GgufTensor* tensor = found->second;
    left_.erase(found);
    if (place.unused) return;
    if (tensor->shape != place.shape) {
      problems_.push_back("'" + place.gguf + "' has shape " + shape_text(tensor->shape) +
                          " instead of " + shape_text(place.shape));
      return;
    }
    for (const GgufSlice& slice : place.slices) {
      const auto [entry, fresh] = index_.try_emplace(slice.hf, placed_.size());
      if (fresh) placed_.push_back({.name = slice.hf, .shape = slice.hf_shape, .parts = {}});
      placed_[entry->second].parts.push_back({&place, &slice, tensor});
    }
  }

  std::vector<PlacedTensor> finish() {
    for (const GgufTensor& tensor : image_.tensors) {
      if (left_.contains(tensor.name))
        problems_.push_back("'" + printable(tensor.name) + "' has no place in this architecture");
    }
    if (!problems_.empty()) report();
    return std::move(placed_);
  }

 private:
  [[noreturn]] void report() const {
    constexpr size_t kShown = 5;
    std::string list;
    for (size_t i = 0; i < std::min(kShown, problems_.size()); ++i)
      list += (list.empty() ? "" : "; ") + problems_[i];
    if (problems_.size() > kShown) list += cat("; and ", problems_.size() - kShown, " more");
    throw Error({.what = "tensors do not fit the architecture: " + list, .where = where_});
  }

  const GgufImage& image_;
  const std::string& where_;
  std::unordered_map<std::string, const GgufTensor*> left_;
  std::unordered_map<std::string, size_t> index_;
  std::vector<std::string> problems_;
  std::vector<PlacedTensor> placed_;
};

}  // namespace

int64_t RowOrder::checkpoint_row(int64_t row) const {
  const int64_t index = row / head;
  int64_t within = row % head;
  if (interleaved) within = within % 2 * (head / 2) + within / 2;
  return (index / per * stride + index % per + first) * head + within;
}

std::vector<GgufPlace> gguf_places(const ModelConfig& config, const GgufArchitecture& architecture,
                                   const GgufImage* image) {
  return Builder(config, architecture, image).build();
}

std::vector<PlacedTensor> place_gguf_tensors(const GgufImage& image,
                                             const std::vector<GgufPlace>& places,
                                             const std::string& where) {
  Placer placer(image, where);
  for (const GgufPlace& place : places) placer.place(place);
  return placer.finish();
}

}  // namespace gradus
