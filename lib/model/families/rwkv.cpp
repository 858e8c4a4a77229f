// SPDX-License-Identifier: Apache-2.0
// RWKV-4 as transformers has it ("rwkv"), RWKV-7 as flash-linear-attention has it ("rwkv7").
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

}  // namespace

void read_rwkv(const ConfigReader& reader, ModelConfig& config) {
  read_common(reader, config);
  config.recurrent.kind = RecurrentKind::kRwkv4;
  config.num_attention_heads = config.num_key_value_heads = 1;
  config.head_dim = reader.size("attention_hidden_size", config.hidden_size);
  config.intermediate_size = reader.size("intermediate_size", 4 * config.hidden_size);
  config.max_position_embeddings = reader.size("context_length", 1024);
  config.norm_eps = reader.number("layer_norm_epsilon", 1e-5);
  // Later generations have been published under this name too.
  reader.refuse_if(reader.has("head_size"), "head_size", "none: RWKV-4 has no heads");
  // A scale of the residual stream for float16 alone, which the norms take out again.
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
  config.recurrent = {.kind = RecurrentKind::kRwkv7,
                      .decay_rank = reader.size("decay_low_rank_dim"),
                      .rate_rank = reader.size("a_low_rank_dim"),
                      .value_rank = reader.size("v_low_rank_dim"),
                      .gate_rank = reader.size("gate_low_rank_dim")};
  const int64_t D = config.hidden_size;
  config.head_dim = reader.has("head_dim") || !reader.has("num_heads")
                        ? reader.size("head_dim", 64)
                        : std::max<int64_t>(1, D / reader.size("num_heads"));
  reader.refuse_if(D % config.head_dim != 0, "head_dim", "a part of hidden_size");
  config.num_attention_heads = config.num_key_value_heads = D / config.head_dim;
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
  config.names.embedding = "model.embeddings";
  if (reader.flag("norm_first", true)) config.names.embedding_norm = "model.layers.0.pre_norm";
  config.names.attention_norm = "attn_norm";
  config.names.mlp_norm = "ffn_norm";
}

}  // namespace gradus
