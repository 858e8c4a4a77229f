// SPDX-License-Identifier: Apache-2.0
// The families with layer norms: GPT-2, GPT-NeoX, Falcon, MPT, Phi 1 and 2, StableLM, StarCoder2.
#include <cmath>

#include "base/error.h"
#include "model/families/family.h"

namespace gradus {
namespace {

void use_layer_norms(ModelConfig& config, bool with_bias) {
  config.norm = NormKind::kLayer;
  config.norm_bias = with_bias;
}

void set_all_biases(ModelConfig& config, bool biases) {
  config.qkv_bias = config.o_bias = config.mlp_bias = biases;
}

void set_sizes(ModelConfig& config, int64_t hidden, int64_t heads, int64_t layers) {
  config.hidden_size = hidden;
  config.num_attention_heads = config.num_key_value_heads = heads;
  config.num_hidden_layers = layers;
  config.head_dim = std::max<int64_t>(1, hidden / heads);
  config.layer_window.assign(static_cast<size_t>(layers), 0);
}

void read_gpt2_names(ModelConfig& config) {
  config.names = {.embedding = "transformer.wte",
                  .positions = "transformer.wpe",
                  .layers = "transformer.h.",
                  .final_norm = "transformer.ln_f",
                  .attention_norm = "ln_1",
                  .mlp_norm = "ln_2",
                  .qkv = {"attn.c_attn"},
                  .o = "attn.c_proj",
                  .gate_up = {"mlp.c_fc"},
                  .down = "mlp.c_proj",
                  .other_prefixes = {{"transformer.", ""}},
                  .ignored_suffixes = {".attn.bias", ".attn.masked_bias"}};
  config.keys.num_hidden_layers = "n_layer";
}

// Falcon 7B and its relatives share one key/value head and one norm; 40B groups the heads and
// norms attention and MLP apart; 11B groups the heads under one norm; RW runs in sequence.
void read_falcon_block(const ConfigReader& reader, ModelConfig& config) {
  const bool grouped = reader.flag("new_decoder_architecture", false);
  const bool parallel = reader.flag("parallel_attn", true);
  const bool shared = reader.flag("multi_query", true);
  const int64_t norms = reader.size("num_ln_in_parallel_attn", grouped ? 2 : 1);
  reader.refuse_if(grouped && !parallel, "parallel_attn", "true with new_decoder_architecture");
  reader.refuse_if(norms > (grouped ? 2 : 1), "num_ln_in_parallel_attn", grouped ? "1 or 2" : "1");
  const int64_t heads = config.num_attention_heads, kv_heads = reader.size("num_kv_heads", heads);
  config.num_key_value_heads = grouped ? kv_heads : shared ? 1 : heads;
  config.qkv_layout = grouped || !shared ? QkvLayout::kGrouped : QkvLayout::kBlocks;
  config.residual = parallel ? Residual::kParallel : Residual::kSequential;
  if (parallel) config.names.mlp_norm = "";
  if (grouped && norms == 2) {
    config.names.attention_norm = "ln_attn";
    config.names.mlp_norm = "ln_mlp";
  }
}

}  // namespace

void read_gpt2(const ConfigReader& reader, ModelConfig& config) {
  set_sizes(config, reader.size("n_embd"), reader.size("n_head"), reader.layers("n_layer"));
  config.intermediate_size = reader.size("n_inner", 4 * config.hidden_size);
  config.vocab_size = reader.size("vocab_size");
  config.max_position_embeddings = reader.size("n_positions", 1024);
  config.longest_sequence = config.max_position_embeddings;
  config.norm_eps = reader.number("layer_norm_epsilon", 1e-5);
  use_layer_norms(config, true);
  set_all_biases(config, true);
  config.positions = Positions::kLearned;
  config.gated = false;
  config.activation = reader.activation("activation_function", "gelu_new");
  reader.expect_flag("scale_attn_by_inverse_layer_idx", false, false);
  reader.expect_flag("add_cross_attention", false, false);
  if (!reader.flag("scale_attn_weights", true)) config.attention_scale = 1;
  config.tie_word_embeddings = true;
  config.transposed_weights = true;
  read_gpt2_names(config);
}

void read_gpt_neox(const ConfigReader& reader, ModelConfig& config) {
  read_usual_sizes(reader, config, "layer_norm_eps", 1e-5);
  use_layer_norms(config, true);
  config.mlp_bias = true;
  config.qkv_bias = config.o_bias = reader.flag("attention_bias", true);
  config.gated = false;
  config.activation = reader.activation("hidden_act", "gelu");
  config.qkv_layout = QkvLayout::kGrouped;
  if (reader.flag("use_parallel_residual", true)) config.residual = Residual::kParallel;
  use_one_rope(config, read_rope(reader, config,
                                 {.theta = reader.number("rotary_emb_base", 10000.0),
                                  .share = RotatedShare::kAny,
                                  .partial = reader.number("rotary_pct", 0.25)}));
  config.names = {.embedding = "gpt_neox.embed_in",
                  .layers = "gpt_neox.layers.",
                  .final_norm = "gpt_neox.final_layer_norm",
                  .output = "embed_out",
                  .qkv = {"attention.query_key_value"},
                  .o = "attention.dense",
                  .gate_up = {"mlp.dense_h_to_4h"},
                  .down = "mlp.dense_4h_to_h",
                  .ignored_suffixes = {".attention.bias", ".attention.masked_bias"}};
}

void read_falcon(const ConfigReader& reader, ModelConfig& config) {
  const int64_t hidden =
      reader.has("n_embed") ? reader.size("n_embed") : reader.size("hidden_size");
  set_sizes(config, hidden, reader.size("num_attention_heads"), reader.layers("num_hidden_layers"));
  config.intermediate_size = reader.size("ffn_hidden_size", 4 * hidden);
  config.vocab_size = reader.size("vocab_size");
  config.max_position_embeddings = reader.size("max_position_embeddings", 2048);
  config.norm_eps = reader.number("layer_norm_epsilon", 1e-5);
  use_layer_norms(config, true);
  set_all_biases(config, reader.flag("bias", false));
  config.gated = false;
  config.activation = reader.activation("activation", "gelu");
  config.tie_word_embeddings = true;
  config.names = {.embedding = "transformer.word_embeddings",
                  .layers = "transformer.h.",
                  .final_norm = "transformer.ln_f",
                  .qkv = {"self_attention.query_key_value"},
                  .o = "self_attention.dense",
                  .gate_up = {"mlp.dense_h_to_4h"},
                  .down = "mlp.dense_4h_to_h"};
  read_falcon_block(reader, config);
  if (reader.flag("alibi", false)) {
    config.positions = Positions::kAlibi;
    config.alibi = {.bias_max = 8.0,
                    .scale = 1 / std::sqrt(static_cast<double>(config.head_dim)),
                    .in_bfloat16 = true};
    reader.accept({"rope_parameters", "rope_scaling", "rope_theta"});
  } else {
    use_one_rope(config, read_rope(reader, config, {}));
  }
}

void read_mpt(const ConfigReader& reader, ModelConfig& config) {
  set_sizes(config, reader.size("d_model"), reader.size("n_heads"), reader.layers("n_layers"));
  config.intermediate_size = reader.size("expansion_ratio", 4) * config.hidden_size;
  config.vocab_size = reader.size("vocab_size");
  config.max_position_embeddings = reader.size("max_seq_len", 2048);
  config.norm_eps = reader.number("layer_norm_epsilon", 1e-5);
  use_layer_norms(config, false);
  config.gated = false;
  config.activation = Activation::kGelu;
  config.tie_word_embeddings = true;
  reader.expect_flag("no_bias", true, true);
  reader.refuse_if(reader.has("logit_scale"), "logit_scale", "null");
  const std::string norm = reader.text("norm_type", "low_precision_layernorm");
  reader.refuse_if(norm != "low_precision_layernorm" && norm != "layernorm", "norm_type",
                   "low_precision_layernorm");
  reader.refuse_if(!reader.has("attn_config"), "attn_config", "an object");
  const ConfigReader attention = reader.inside("attn_config");
  attention.expect_flag("alibi", true, true);
  attention.expect_flag("qk_ln", false, false);
  attention.expect_flag("prefix_lm", false, false);
  attention.refuse_if(attention.text("attn_type", "multihead_attention") != "multihead_attention",
                      "attn_type", "multihead_attention");
  config.clip_qkv = attention.number("clip_qkv", 0.0);
  config.attention_scale = attention.number("softmax_scale", 0.0);
  config.positions = Positions::kAlibi;
  config.alibi.bias_max = attention.number("alibi_bias_max", 8.0);
  config.names = {.embedding = "transformer.wte",
                  .layers = "transformer.blocks.",
                  .final_norm = "transformer.norm_f",
                  .attention_norm = "norm_1",
                  .mlp_norm = "norm_2",
                  .qkv = {"attn.Wqkv"},
                  .o = "attn.out_proj",
                  .gate_up = {"ffn.up_proj"},
                  .down = "ffn.down_proj"};
  config.keys.num_hidden_layers = "n_layers";
}

void read_phi(const ConfigReader& reader, ModelConfig& config) {
  read_usual_sizes(reader, config, "layer_norm_eps", 1e-5);
  use_layer_norms(config, true);
  set_all_biases(config, true);
  config.output_bias = true;
  config.gated = false;
  config.activation = reader.activation("hidden_act", "gelu_new");
  config.residual = Residual::kParallel;
  use_one_rope(config, read_rope(reader, config, {.share = RotatedShare::kAny, .partial = 0.5}));
  config.names.final_norm = "model.final_layernorm";
  config.names.mlp_norm = "";
  config.names.o = "self_attn.dense";
  config.names.gate_up = {"mlp.fc1"};
  config.names.down = "mlp.fc2";
  if (!reader.flag("qk_layernorm", false)) return;
  config.qk_norm = QkNorm::kSharedHead;
  config.qk_norm_bias = true;
  config.names.q_norm = "self_attn.q_layernorm";
  config.names.k_norm = "self_attn.k_layernorm";
}

void read_stablelm(const ConfigReader& reader, ModelConfig& config) {
  read_usual_sizes(reader, config, "layer_norm_eps", 1e-5);
  use_layer_norms(config, true);
  config.activation = reader.activation("hidden_act", "silu");
  config.qkv_bias = reader.flag("use_qkv_bias", false);
  use_one_rope(config, read_rope(reader, config, {.share = RotatedShare::kAny, .partial = 0.25}));
  if (reader.flag("use_parallel_residual", false)) {
    config.residual = Residual::kParallel;
    config.names.mlp_norm = "";
  }
  if (!reader.flag("qk_layernorm", false)) return;
  config.qk_norm = QkNorm::kEachHead;
  config.names.q_norm = "self_attn.q_layernorm.norms.";
  config.names.k_norm = "self_attn.k_layernorm.norms.";
}

void read_starcoder2(const ConfigReader& reader, ModelConfig& config) {
  read_usual_sizes(reader, config, "norm_epsilon", 1e-5);
  use_layer_norms(config, true);
  set_all_biases(config, reader.flag("use_bias", true));
  config.gated = false;
  config.activation = reader.activation("hidden_act", "gelu_pytorch_tanh");
  config.tie_word_embeddings = true;
  use_one_rope(config, read_rope(reader, config, {}));
  read_windows(reader, config, 0);
  config.names.gate_up = {"mlp.c_fc"};
  config.names.down = "mlp.c_proj";
}

}  // namespace gradus
