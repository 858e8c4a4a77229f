// SPDX-License-Identifier: Apache-2.0
#include "model/formats/gguf_tensors.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "base/error.h"

namespace gradus {
namespace {

enum class Size { kNone, kD, kF, kQ, kKv, kDh, kV };
enum class Part { kCore, kQkvBias, kOutputBias, kMlpBias, kQkNorm };

struct Row {
  const char* gguf;
  const char* hf;
  Size rows, columns;
  Part part = Part::kCore;
};

constexpr Row kEmbedding = {"token_embd.weight", "model.embed_tokens.weight", Size::kV, Size::kD};
constexpr Row kNorm = {"output_norm.weight", "model.norm.weight", Size::kD, Size::kNone};

constexpr Row kLayerRows[] = {
    {"attn_norm.weight", "input_layernorm.weight", Size::kD, Size::kNone},
    {"attn_q.weight", "self_attn.q_proj.weight", Size::kQ, Size::kD},
    {"attn_k.weight", "self_attn.k_proj.weight", Size::kKv, Size::kD},
    {"attn_v.weight", "self_attn.v_proj.weight", Size::kKv, Size::kD},
    {"attn_output.weight", "self_attn.o_proj.weight", Size::kD, Size::kQ},
    {"attn_q.bias", "self_attn.q_proj.bias", Size::kQ, Size::kNone, Part::kQkvBias},
    {"attn_k.bias", "self_attn.k_proj.bias", Size::kKv, Size::kNone, Part::kQkvBias},
    {"attn_v.bias", "self_attn.v_proj.bias", Size::kKv, Size::kNone, Part::kQkvBias},
    {"attn_output.bias", "self_attn.o_proj.bias", Size::kD, Size::kNone, Part::kOutputBias},
    {"attn_q_norm.weight", "self_attn.q_norm.weight", Size::kDh, Size::kNone, Part::kQkNorm},
    {"attn_k_norm.weight", "self_attn.k_norm.weight", Size::kDh, Size::kNone, Part::kQkNorm},
    {"ffn_norm.weight", "post_attention_layernorm.weight", Size::kD, Size::kNone},
    {"ffn_gate.weight", "mlp.gate_proj.weight", Size::kF, Size::kD},
    {"ffn_up.weight", "mlp.up_proj.weight", Size::kF, Size::kD},
    {"ffn_down.weight", "mlp.down_proj.weight", Size::kD, Size::kF},
    {"ffn_gate.bias", "mlp.gate_proj.bias", Size::kF, Size::kNone, Part::kMlpBias},
    {"ffn_up.bias", "mlp.up_proj.bias", Size::kF, Size::kNone, Part::kMlpBias},
    {"ffn_down.bias", "mlp.down_proj.bias", Size::kD, Size::kNone, Part::kMlpBias},
};

constexpr Row kHead = {"output.weight", "lm_head.weight", Size::kV, Size::kD};

int64_t size_of(Size size, const GgufModel& model) {
  switch (size) {
    case Size::kNone:
      return 0;
    case Size::kD:
      return model.hidden_size;
    case Size::kF:
      return model.intermediate_size;
    case Size::kQ:
      return model.num_attention_heads * model.head_dim;
    case Size::kKv:
      return model.num_key_value_heads * model.head_dim;
    case Size::kDh:
      return model.head_dim;
    case Size::kV:
      return model.vocab_size;
  }
  return 0;
}

bool has_part(Part part, const GgufExtras& extras) {
  switch (part) {
    case Part::kCore:
      return true;
    case Part::kQkvBias:
      return extras.qkv_bias;
    case Part::kOutputBias:
      return extras.output_bias;
    case Part::kMlpBias:
      return extras.mlp_bias;
    case Part::kQkNorm:
      return extras.qk_norm;
  }
  return false;
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (const int64_t size : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
}

int64_t interleaved_heads(const Row& row, const GgufModel& model) {
  if (model.qk_rows == QkRows::kAsIs) return 0;
  const std::string_view name = row.gguf;
  if (name.starts_with("attn_q.")) return model.num_attention_heads;
  return name.starts_with("attn_k.") ? model.num_key_value_heads : 0;
}

void add_place(std::vector<TensorPlace>& places, const Row& row, const GgufModel& model,
               const std::string& gguf_prefix = {}, const std::string& hf_prefix = {}) {
  if (!has_part(row.part, model.extras)) return;
  std::vector<int64_t> shape = {size_of(row.rows, model)};
  if (row.columns != Size::kNone) shape.push_back(size_of(row.columns, model));
  places.push_back({.gguf = gguf_prefix + row.gguf,
                    .hf = hf_prefix + row.hf,
                    .shape = std::move(shape),
                    .interleaved_heads = interleaved_heads(row, model)});
}

// Collects placements and problems, so that one message lists all of them.
class Placer {
 public:
  Placer(const GgufFile& file, const GgufModel& model) : file_(file), model_(model) {
    for (const GgufTensor& tensor : file.tensors()) left_.emplace(tensor.name, &tensor);
    left_.erase("rope_freqs.weight");  // became rope_scaling
  }

  void place(const TensorPlace& place) {
    const auto found = left_.find(place.gguf);
    if (found == left_.end()) {
      problems_.push_back("'" + place.gguf + "' is missing");
      return;
    }
    if (found->second->shape != place.shape) {
      problems_.push_back("'" + found->first + "' has shape " + shape_text(found->second->shape) +
                          " instead of " + shape_text(place.shape));
    }
    placed_.push_back({place.hf, found->second, place.interleaved_heads});
    left_.erase(found);
  }

  std::vector<PlacedTensor> finish() {
    for (const GgufTensor& tensor : file_.tensors()) {
      if (left_.contains(tensor.name)) {
        problems_.push_back("'" + printable(tensor.name) + "' has no place in this architecture");
      }
    }
    if (!problems_.empty()) report();
    return std::move(placed_);
  }

 private:
  [[noreturn]] void report() const {
    constexpr size_t kShown = 5;
    std::string list;
    for (size_t i = 0; i < std::min(kShown, problems_.size()); ++i) {
      list += (list.empty() ? "" : "; ") + problems_[i];
    }
    if (problems_.size() > kShown) list += cat("; and ", problems_.size() - kShown, " more");
    throw Error({.what = "tensors do not fit " + std::string(model_.model_type) + ": " + list,
                 .where = file_.path().string()});
  }

  const GgufFile& file_;
  const GgufModel& model_;
  std::unordered_map<std::string, const GgufTensor*> left_;
  std::vector<std::string> problems_;
  std::vector<PlacedTensor> placed_;
};

}  // namespace

std::vector<TensorPlace> gguf_tensor_places(const GgufModel& model, int64_t layers) {
  std::vector<TensorPlace> places;
  add_place(places, kEmbedding, model);
  for (int64_t i = 0; i < layers; ++i) {
    for (const Row& row : kLayerRows)
      add_place(places, row, model, cat("blk.", i, "."), cat("model.layers.", i, "."));
  }
  add_place(places, kNorm, model);
  if (!model.tie_word_embeddings) add_place(places, kHead, model);
  return places;
}

std::vector<PlacedTensor> place_gguf_tensors(const GgufFile& file, const GgufModel& model) {
  Placer placer(file, model);
  // A false block_count would only repeat the same complaint for each layer.
  const int64_t layers =
      std::min<int64_t>(model.num_hidden_layers, static_cast<int64_t>(file.tensors().size()) + 1);
  for (const TensorPlace& place : gguf_tensor_places(model, layers)) placer.place(place);
  return placer.finish();
}

// Inside a head of Dh rows, the checkpoint has [2, Dh/2] where the file has [Dh/2, 2].
int64_t interleaved_row(int64_t row, int64_t head_dim) {
  const int64_t head = row / head_dim, within = row % head_dim;
  return head * head_dim + within % (head_dim / 2) * 2 + within / (head_dim / 2);
}

int64_t checkpoint_row(int64_t row, int64_t head_dim) {
  const int64_t head = row / head_dim, within = row % head_dim;
  return head * head_dim + within % 2 * (head_dim / 2) + within / 2;
}

}  // namespace gradus
