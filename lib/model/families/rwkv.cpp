// SPDX-License-Identifier: Apache-2.0
// RWKV-4 as transformers has it ("rwkv"), RWKV-7 as flash-linear-attention has it ("rwkv7").
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "model/families/family.h"

namespace gradus {
namespace {

void read_common(const ConfigReader& reader, ModelConfig& config) {
  config.hidden_size = reader.size("hidden_size");
  config.num_hidden_layers = reader.size("num_hidden_layers");
  config.vocab_size = reader.size("vocab_size");
  config.norm = NormKind::kLayer;
  config.norm_bias = true;
  config.gated = false;
  config.activation = Activation::kReluSquared;
  config.attention_scale = 1;
}

// A rank that the file leaves out is `usual`; of one that is null flash-linear-attention makes
// `factor` times the root of the width, in steps of 32.
int64_t low_rank(const ConfigReader& reader, const char* key, int64_t usual, double factor) {
  if (reader.has(key)) return reader.size(key);
  if (!reader.json().contains(key)) return usual;
  const double width = factor * std::sqrt(static_cast<double>(reader.size("hidden_size")));
  return std::max<int64_t>(32, std::lround(std::nearbyint(width / 32)) * 32);
}

void read_rwkv7_ranks(const ConfigReader& reader, ModelConfig& config) {
  const double wide = static_cast<double>(config.head_dim) / 64;
  config.recurrent = {.kind = RecurrentKind::kRwkv7,
                      .decay_rank = low_rank(reader, "decay_low_rank_dim", 64, 2.5 * wide),
                      .rate_rank = low_rank(reader, "a_low_rank_dim", 64, 2.5 * wide),
                      .value_rank = low_rank(reader, "v_low_rank_dim", 16, 1.7 * wide),
                      .gate_rank = low_rank(reader, "gate_low_rank_dim", 128, 5)};
}

// The first version of flash-linear-attention held how tokens are mixed as one tensor, and some
// files hold a projection of the first layer that nothing uses.
void read_rwkv7_names(const ConfigReader& reader, ModelConfig& config) {
  config.names.embedding = "model.embeddings";
  if (reader.flag("norm_first", true)) config.names.embedding_norm = "model.layers.0.pre_norm";
  config.names.attention_norm = "attn_norm";
  config.names.mlp_norm = "ffn_norm";
  config.names.stacked = {
      {.whole = ".attn.x_x",
       .parts = {".attn.x_r", ".attn.x_w", ".attn.x_k", ".attn.x_v", ".attn.x_a", ".attn.x_g"},
       .shape = {1, 1, config.hidden_size}}};
  config.names.ignored_prefixes = {"model.layers.0.attn.v_lora."};
}

}  // namespace

void read_rwkv(const ConfigReader& reader, ModelConfig& config) {
  read_common(reader, config);
  config.recurrent.kind = RecurrentKind::kRwkv4;
  config.num_attention_heads = config.num_key_value_heads = 1;
  config.head_dim = reader.size("attention_hidden_size", config.hidden_size);
  config.intermediate_size = reader.size("intermediate_size", 4 * config.hidden_size);
  config.max_position_embeddings = reader.size("context_length", 1024);
  config.norm_eps = reader.number("layer_norm_epsilon", 1e-5);
  // The class's last norm has this one whatever the file says.
  reader.refuse_if(config.norm_eps != 1e-5, "layer_norm_epsilon", "1e-05");
  // Later generations have been published under this name too.
  reader.refuse_if(reader.has("head_size"), "head_size", "none: RWKV-4 has no heads");
  // A scale of the residual stream for float16: a power of 2 that the norms take out again, save
  // that their epsilon then counts more. The authors' code has it in float16 alone, transformers
  // whenever it does not train.
  reader.accept({"rescale_every"});
  config.names.embedding = "rwkv.embeddings";
  config.names.embedding_norm = "rwkv.blocks.0.pre_ln";
  config.names.layers = "rwkv.blocks.";
  config.names.final_norm = "rwkv.ln_out";
  config.names.output = "head";
  config.names.attention_norm = "ln1";
  config.names.mlp_norm = "ln2";
}

void read_rwkv7(const ConfigReader& reader, ModelConfig& config) {
  read_common(reader, config);
  const int64_t D = config.hidden_size;
  config.head_dim = reader.has("head_dim") || !reader.has("num_heads")
                        ? reader.size("head_dim", 64)
                        : std::max<int64_t>(1, D / reader.size("num_heads"));
  reader.refuse_if(D % config.head_dim != 0, "head_dim", "a part of hidden_size");
  config.num_attention_heads = config.num_key_value_heads = D / config.head_dim;
  read_rwkv7_ranks(reader, config);
  for (const int64_t width : reader.integers("value_dim"))
    reader.refuse_if(width != D, "value_dim", "hidden_size for every layer");
  reader.refuse_if(reader.has("attn"), "attn", "null: every layer is recurrent");
  reader.refuse_if(reader.text("hidden_act", "sqrelu") != "sqrelu", "hidden_act", "sqrelu");
  const auto inner =
      static_cast<int64_t>(static_cast<double>(D) * reader.number("hidden_ratio", 4.0));
  reader.refuse_if(inner < 1 || inner > (int64_t{1} << 24), "hidden_ratio");
  config.intermediate_size = reader.size("intermediate_size", (inner + 31) / 32 * 32);
  config.max_position_embeddings = reader.size("max_position_embeddings", 2048);
  config.norm_eps = reader.number("norm_eps", 1e-5);
  config.norm_bias = reader.flag("norm_bias", true);
  read_rwkv7_names(reader, config);
}

}  // namespace gradus
