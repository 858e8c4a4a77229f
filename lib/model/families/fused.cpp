// SPDX-License-Identifier: Apache-2.0
// Llama's relatives whose files fuse or rename projections: the GLM line, InternLM2, Baichuan and
// the first Qwen. Sources: the modelling files that these models are published with.
#include "base/error.h"
#include "model/families/family.h"

namespace gradus {

void read_glm(const ConfigReader& reader, ModelConfig& config) {
  read_usual_sizes(reader, config, "rms_norm_eps", 1.5625e-7);
  config.head_dim = reader.size("head_dim", 128);
  config.activation = reader.activation("hidden_act", "silu");
  config.qkv_bias = reader.flag("attention_bias", true);
  use_one_rope(config,
               read_rope(reader, config,
                         {.share = RotatedShare::kAny, .partial = 0.5, .interleaved = true}));
  config.names.gate_up = {"mlp.gate_up_proj"};
}

void read_glm4(const ConfigReader& reader, ModelConfig& config) {
  read_glm(reader, config);
  config.names.attention_post_norm = "post_self_attn_layernorm";
  config.names.mlp_post_norm = "post_mlp_layernorm";
}

void read_chatglm(const ConfigReader& reader, ModelConfig& config) {
  config.hidden_size = reader.size("hidden_size");
  config.intermediate_size = reader.size("ffn_hidden_size");
  config.num_hidden_layers = reader.layers("num_layers");
  config.num_attention_heads = reader.size("num_attention_heads");
  const bool grouped = reader.flag("multi_query_attention", false);
  config.num_key_value_heads =
      grouped ? reader.size("multi_query_group_num", 1) : config.num_attention_heads;
  config.head_dim = reader.size("kv_channels", 128);
  config.vocab_size = reader.size("padded_vocab_size");
  config.max_position_embeddings = reader.size("seq_length", 2048);
  config.norm_eps = reader.number("layernorm_epsilon", 1e-5);
  config.layer_window.assign(static_cast<size_t>(config.num_hidden_layers), 0);
  reader.expect_flag("rmsnorm", true, true);
  reader.expect_flag("post_layer_norm", true, true);
  reader.expect_flag("apply_residual_connection_post_layernorm", false, false);
  reader.refuse_if(reader.has("pre_seq_len"), "pre_seq_len", "null");
  const bool biases = reader.flag("add_bias_linear", false);
  config.o_bias = config.mlp_bias = biases;
  config.qkv_bias = biases || reader.flag("add_qkv_bias", false);
  const double ratio = reader.number("rope_ratio", 1.0);
  RopeConfig rope =
      read_rope(reader, config, {.share = RotatedShare::kAny, .partial = 0.5, .interleaved = true});
  rope.theta *= ratio;
  use_one_rope(config, rope);
  config.names = {.embedding = "transformer.embedding.word_embeddings",
                  .layers = "transformer.encoder.layers.",
                  .final_norm = "transformer.encoder.final_layernorm",
                  .output = "transformer.output_layer",
                  .qkv = {"self_attention.query_key_value"},
                  .o = "self_attention.dense",
                  .gate_up = {"mlp.dense_h_to_4h"},
                  .down = "mlp.dense_4h_to_h",
                  .ignored_suffixes = {"rotary_pos_emb.inv_freq"}};
  config.keys = {.num_hidden_layers = "num_layers", .vocab_size = "padded_vocab_size"};
}

void read_internlm2(const ConfigReader& reader, ModelConfig& config) {
  read_usual_sizes(reader, config, "rms_norm_eps", 1e-6);
  config.activation = reader.activation("hidden_act", "silu");
  config.qkv_bias = config.o_bias = reader.flag("bias", true);
  config.qkv_layout = QkvLayout::kGrouped;
  use_one_rope(config, read_rope(reader, config, {}));
  config.names = {.embedding = "model.tok_embeddings",
                  .output = "output",
                  .attention_norm = "attention_norm",
                  .mlp_norm = "ffn_norm",
                  .qkv = {"attention.wqkv"},
                  .o = "attention.wo",
                  .gate_up = {"feed_forward.w1", "feed_forward.w3"},
                  .down = "feed_forward.w2"};
}

// The 7B models rotate and name max_position_embeddings; the 13B ones use ALiBi and name only
// model_max_length. The second generation, of this vocabulary, normalises the rows of its output
// projection.
void read_baichuan(const ConfigReader& reader, ModelConfig& config) {
  read_usual_sizes(reader, config, "rms_norm_eps", 1e-6);
  config.output_normalised = reader.has("z_loss_weight") || config.vocab_size == 125696;
  config.activation = reader.activation("hidden_act", "silu");
  config.names.qkv = {"self_attn.W_pack"};
  if (reader.has("max_position_embeddings")) {
    use_one_rope(config, read_rope(reader, config, {}));
  } else {
    config.max_position_embeddings = reader.size("model_max_length", 4096);
    config.positions = Positions::kAlibi;
  }
}

void read_qwen(const ConfigReader& reader, ModelConfig& config) {
  read_usual_sizes(reader, config, "layer_norm_epsilon", 1e-6);
  config.head_dim = reader.size("kv_channels", config.head_dim);
  reader.refuse_if(config.intermediate_size % 2 != 0, "intermediate_size", "an even number");
  config.intermediate_size /= 2;  // the file counts gate and up
  // Beyond seq_length these two rescale queries and bases, by a prompt's length and not in
  // training; up to it they change nothing.
  config.max_position_embeddings = reader.size("seq_length", config.max_position_embeddings);
  const bool dynamic = reader.flag("use_dynamic_ntk", true),
             logn = reader.flag("use_logn_attn", true);
  if (dynamic || logn) config.longest_sequence = config.max_position_embeddings;
  reader.expect_flag("no_bias", true, true);
  reader.expect_flag("scale_attn_weights", true, true);
  config.qkv_bias = true;
  RopeDefaults rope{.theta = reader.number("rotary_emb_base", 10000.0),
                    .share = RotatedShare::kAny,
                    .partial = reader.number("rotary_pct", 1.0)};
  use_one_rope(config, read_rope(reader, config, rope));
  config.names = {.embedding = "transformer.wte",
                  .layers = "transformer.h.",
                  .final_norm = "transformer.ln_f",
                  .attention_norm = "ln_1",
                  .mlp_norm = "ln_2",
                  .qkv = {"attn.c_attn"},
                  .o = "attn.c_proj",
                  .gate_up = {"mlp.w2", "mlp.w1"},
                  .down = "mlp.c_proj"};
}

}  // namespace gradus
