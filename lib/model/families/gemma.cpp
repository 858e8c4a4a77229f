// SPDX-License-Identifier: Apache-2.0
// Gemma 1 to 3: norms times 1 + weight, scaled embeddings, GELU gates; norms after the blocks and
// alternating windows since 2, two rotary bases in 3.
#include <cmath>

#include "base/error.h"
#include "model/families/family.h"

namespace gradus {
namespace {

void read_common(const ConfigReader& reader, ModelConfig& config) {
  read_usual_sizes(reader, config, "rms_norm_eps", 1e-6);
  config.head_dim = reader.size("head_dim", 256);
  config.norm = NormKind::kRmsPlusOne;
  config.embedding_scale = std::sqrt(static_cast<double>(config.hidden_size));
  config.embedding_scale_in_dtype = true;
  config.tie_word_embeddings = true;
  config.qkv_bias = config.o_bias = reader.flag("attention_bias", false);
  reader.expect_flag("use_bidirectional_attention", false, false);
}

void read_second_generation(const ConfigReader& reader, ModelConfig& config) {
  read_common(reader, config);
  config.activation = reader.activation("hidden_activation", "gelu_pytorch_tanh");
  const double width = reader.number("query_pre_attn_scalar", 256.0);
  reader.refuse_if(!(width > 0), "query_pre_attn_scalar", "a number above 0");
  config.attention_scale = 1 / std::sqrt(width);
  config.names.attention_post_norm = "post_attention_layernorm";
  config.names.mlp_norm = "pre_feedforward_layernorm";
  config.names.mlp_post_norm = "post_feedforward_layernorm";
}

// A cap of the scores or logits; absent or null means none once the file has a new enough form.
double softcap(const ConfigReader& reader, const char* key, double fallback) {
  const double cap = reader.json().contains(key) && reader.json().at(key).is_null()
                         ? 0.0
                         : reader.number(key, fallback);
  reader.refuse_if(!(cap >= 0), key, "a number above 0, or null");
  return cap;
}

// The rotary embeddings of full (0) and sliding (1) layers.
void read_two_ropes(const ConfigReader& reader, ModelConfig& config) {
  RopeConfig full, sliding;
  full.dim = sliding.dim = config.head_dim;
  full.theta = reader.number("rope_theta", 1000000.0);
  sliding.theta = reader.number("rope_local_base_freq", 10000.0);
  const bool nested =
      reader.has("rope_parameters") && (reader.at("rope_parameters").contains("full_attention") ||
                                        reader.at("rope_parameters").contains("sliding_attention"));
  if (nested) {
    const ConfigReader both = reader.inside("rope_parameters");
    if (both.has("full_attention"))
      full = read_rope_parameters(both.inside("full_attention"), config, full);
    if (both.has("sliding_attention"))
      sliding = read_rope_parameters(both.inside("sliding_attention"), config, sliding);
  } else if (reader.has("rope_parameters")) {
    reader.refuse("rope_parameters", "full_attention and sliding_attention");
  } else if (reader.has("rope_scaling")) {
    full = read_rope_parameters(reader.inside("rope_scaling"), config, full);
  }
  config.ropes = {full, sliding};
  for (const int64_t window : config.layer_window) config.layer_rope.push_back(window > 0 ? 1 : 0);
}

}  // namespace

void read_gemma(const ConfigReader& reader, ModelConfig& config) {
  read_common(reader, config);
  // The first files say "gelu" and mean the approximation that the models were trained with.
  const std::string old = reader.text("hidden_act", "gelu_pytorch_tanh");
  config.activation = old == "gelu" && !reader.has("hidden_activation")
                          ? Activation::kGeluTanh
                          : reader.activation("hidden_activation", old);
  use_one_rope(config, read_rope(reader, config, {}));
}

void read_gemma2(const ConfigReader& reader, ModelConfig& config) {
  read_second_generation(reader, config);
  use_one_rope(config, read_rope(reader, config, {}));
  read_alternating_windows(reader, config, 2);
  config.attention_softcap = softcap(reader, "attn_logit_softcapping", 50.0);
  config.logits_softcap = softcap(reader, "final_logit_softcapping", 30.0);
}

void read_gemma3_text(const ConfigReader& reader, ModelConfig& config) {
  read_second_generation(reader, config);
  config.qk_norm = QkNorm::kSharedHead;
  read_alternating_windows(reader, config, reader.size("sliding_window_pattern", 6));
  read_two_ropes(reader, config);
  // The class has this key and never uses it.
  reader.refuse_if(reader.has("attn_logit_softcapping"), "attn_logit_softcapping", "null");
  config.logits_softcap = softcap(reader, "final_logit_softcapping", 0);
}

}  // namespace gradus
