// SPDX-License-Identifier: Apache-2.0
// A model is data: the numbers of a Hugging Face config.json and the names of its tensors. Families
// differ by these numbers, names and enums only; nothing is inferred from which tensors exist. What
// each model_type means is in families/.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "tensor/activation.h"

namespace gradus {

enum class RopeType { kDefault, kLinear, kDynamic, kYarn, kLongRope, kLlama3 };

// Rotary embedding of the first `dim` numbers of each head; the scalings are those of transformers'
// rope utilities.
struct RopeConfig {
  RopeType type = RopeType::kDefault;
  double theta = 10000.0;
  double factor = 1.0;
  int64_t dim = 0;
  bool interleaved = false;                       // pairs (2i, 2i+1) in place of (i, i + dim/2)
  int64_t max_position_embeddings = 0;            // kDynamic
  int64_t original_max_position_embeddings = 0;   // kLlama3, kYarn, kLongRope
  double low_freq_factor = 1.0;                   // kLlama3
  double high_freq_factor = 4.0;                  // kLlama3
  double beta_fast = 32.0, beta_slow = 1.0;       // kYarn
  bool truncate = true;                           // kYarn
  double attention_factor = 1.0;                  // of cos and sin: kYarn, kLongRope
  std::vector<double> short_factor, long_factor;  // kLongRope, [dim/2]
};

// kRmsPlusOne: times 1 + weight (gemma); kPlainLayer: a layer norm without weights (olmo).
enum class NormKind { kRms, kRmsPlusOne, kLayer, kPlainLayer };
// Norm of queries and keys before the rotary embedding: one weight for all heads, one for each, or
// a norm over all heads together.
enum class QkNorm { kNone, kSharedHead, kEachHead, kFull };
// How the rows of a fused product stand: q, k and v one after the other, or each key/value head's
// queries, key and value together.
enum class QkvLayout { kBlocks, kGrouped };
enum class Residual { kSequential, kParallel };  // kParallel: x + attention(x) + mlp(x)
enum class Positions { kRope, kLearned, kAlibi };

// ALiBi (Press et al. 2022): slope · key position is added to the scores.
struct AlibiConfig {
  double bias_max = 8.0;
  double scale = 1.0;        // of the bias
  bool in_bfloat16 = false;  // slopes, positions and their products are rounded to bf16 (falcon)
};

enum class RouterScore { kSoftmax, kSigmoid };

// Mixture of experts (Shazeer et al. 2017): a token goes through the experts that its router likes
// best, weighted by its scores, and through a shared one if there is one.
struct MoeConfig {
  int64_t experts = 0;                   // E
  int64_t experts_per_token = 0;         // K
  int64_t intermediate_size = 0;         // of one expert
  int64_t shared_intermediate_size = 0;  // 0: no shared expert
  bool normalised = true;                // the weights of the chosen experts add up to 1
  double scale = 1.0;                    // of the weights
  RouterScore score = RouterScore::kSoftmax;
  bool router_in_float = false;  // whatever the model's dtype
  // Experts in groups of equal size, of which a token's are those with the largest sums of the
  // best `group_best` scores (DeepSeek-V2); 0: no groups.
  int64_t groups = 0, groups_per_token = 0, group_best = 1;
};

// Multi-head latent attention (DeepSeek-V2, 2024): keys and values are made from a narrow latent
// vector; one rotated part of the keys is shared by all heads.
struct LatentConfig {
  int64_t kv_rank = 0;                 // 0: plain attention
  int64_t q_rank = 0;                  // 0: queries are made directly
  int64_t nope_dim = 0, rope_dim = 0;  // of queries and keys; together head_dim
  int64_t v_dim = 0;                   // of values; at most head_dim
};

// Layers that carry a state instead of attending to the past; see recurrent.h. RWKV-4's width A is
// head_dim, of one head; RWKV-7's ranks are those of its low-rank projections.
enum class RecurrentKind { kNone, kRwkv4, kRwkv7 };
struct RecurrentConfig {
  RecurrentKind kind = RecurrentKind::kNone;  // of every layer
  int64_t decay_rank = 0, rate_rank = 0, value_rank = 0, gate_rank = 0;
};

// Tensors that some files hold as one, stacked in front; each has `shape`.
struct StackedNames {
  std::string whole;  // the end of its name
  std::vector<std::string> parts;
  std::vector<int64_t> shape;
  bool written = false;  // by whoever writes such files today
};

// Tensor names without ".weight" or ".bias". A norm without a name does not exist.
struct TensorNames {
  std::string embedding = "model.embed_tokens";
  std::string positions = {};       // Positions::kLearned
  std::string embedding_norm = {};  // before the first layer
  std::string layers = "model.layers.";
  std::string final_norm = "model.norm";
  std::string output = "lm_head";
  // In a layer:
  std::string attention_norm = "input_layernorm", attention_post_norm = {};
  std::string mlp_norm = "post_attention_layernorm", mlp_post_norm = {};
  // QkNorm::kEachHead: one tensor, or one for each head where the name ends with a dot.
  std::string q_norm = "self_attn.q_norm", k_norm = "self_attn.k_norm";
  std::vector<std::string> qkv = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"};
  std::string o = "self_attn.o_proj";
  std::string q_up = "self_attn.q_b_proj", kv_up = "self_attn.kv_b_proj";  // LatentConfig
  std::vector<std::string> gate_up = {"mlp.gate_proj", "mlp.up_proj"};     // one, where files fuse
  std::string down = "mlp.down_proj";
  // In a layer with experts; those of one expert stand behind experts + its number + ".":
  std::string router = "mlp.gate", experts = "mlp.experts.";
  std::string router_bias = {};  // full name: added to the scores when experts are chosen
  std::vector<std::string> expert_gate_up = {"gate_proj", "up_proj"};
  std::string expert_down = "down_proj";
  std::vector<std::string> shared_gate_up = {"mlp.shared_expert.gate_proj",
                                             "mlp.shared_expert.up_proj"};
  std::string shared_down = "mlp.shared_expert.down_proj";
  std::string shared_gate = "mlp.shared_expert_gate";
  // Of the files:
  // Beginnings of names that some files have in place of others: {"transformer.", ""}.
  std::vector<std::pair<std::string, std::string>> other_prefixes = {};
  std::vector<StackedNames> stacked = {};
  std::vector<std::string> ignored_suffixes = {};  // buffers that old files hold beside the weights
  std::vector<std::string> ignored_prefixes = {};  // parts of the files that are no part of this

  std::string layer(int64_t index) const { return layers + std::to_string(index) + "."; }
};

// The keys of the numbers that are written back.
struct ConfigKeys {
  std::string num_hidden_layers = "num_hidden_layers";
  std::string vocab_size = "vocab_size";
  std::string no_rope_layers = {};   // of families where layers may not rotate
  std::string mlp_only_layers = {};  // of families where some layers may have no experts
  std::string dense_layers = {};     // of families where the first layers have no experts
};

struct ModelConfig {
  std::string model_type;           // "llama", …: see families/
  int64_t hidden_size = 0;          // D
  int64_t intermediate_size = 0;    // F
  int64_t num_hidden_layers = 0;    // L
  int64_t num_attention_heads = 0;  // H
  int64_t num_key_value_heads = 0;  // Hkv
  int64_t head_dim = 0;             // Dh
  int64_t vocab_size = 0;           // V
  int64_t max_position_embeddings = 0;
  bool tie_word_embeddings = false;

  NormKind norm = NormKind::kRms;
  bool norm_bias = false;  // kLayer
  double norm_eps = 1e-6;
  Residual residual = Residual::kSequential;

  Positions positions = Positions::kRope;
  std::vector<RopeConfig> ropes;    // one, or one per kind of layer
  std::vector<int64_t> layer_rope;  // per layer: index into ropes, -1 for no rotation
  AlibiConfig alibi;

  LatentConfig latent;
  QkNorm qk_norm = QkNorm::kNone;
  bool qk_norm_bias = false;
  QkvLayout qkv_layout = QkvLayout::kBlocks;
  bool qkv_bias = false;              // of q, k and v
  bool o_bias = false;                // of the attention output
  double clip_qkv = 0.0;              // bound of q, k and v; 0: none
  double attention_scale = 0.0;       // of the scores
  double attention_softcap = 0.0;     // scores become cap · tanh(score / cap); 0: none
  std::vector<int64_t> layer_window;  // per layer: sliding window, 0 for full attention
  bool has_window = false;  // the configuration names a window, whether or not a layer has it

  bool gated = true;  // down(activation(gate) · up), else down(activation(up))
  Activation activation = Activation::kSilu;
  bool mlp_bias = false;
  MoeConfig moe;
  std::vector<int64_t> layer_moe;  // per layer: 1 with experts, 0 without; empty: none has any
  RecurrentConfig recurrent;

  double embedding_scale = 1.0;
  bool embedding_scale_in_dtype = false;  // rounded to the dtype of the model first (gemma)
  double residual_scale = 1.0;            // of what a block adds
  double logits_scale = 1.0;
  double logits_softcap = 0.0;  // as attention_softcap
  bool output_bias = false;
  bool output_normalised = false;   // rows of the output projection count by direction (Baichuan 2)
  bool transposed_weights = false;  // files hold projections as [K, N] (gpt2)

  TensorNames names;
  ConfigKeys keys;
  int64_t longest_sequence = 0;  // beyond it this version cannot compute the model; 0: no bound
  std::vector<int64_t> eos_token_ids;
  std::optional<int64_t> bos_token_id;

  Json source;  // the config.json it was read from; written back with the changed numbers
};

// Throws gradus::Error naming the key for anything missing, contradictory or not supported.
ModelConfig model_config_from_json(const Json& document, const std::string& where);
ModelConfig read_model_config(const fs::path& model_folder);
// The config.json that Hugging Face readers load, `dtype` ("bfloat16") included.
Json model_config_to_json(const ModelConfig& config, const std::string& dtype);

// Trainable numbers in total, and those that take part in each token's matrix products (the input
// embedding is a look-up; the output projection counts even when tied; of the experts those that a
// token goes through).
int64_t parameter_count(const ModelConfig& config);
int64_t matmul_parameter_count(const ModelConfig& config);

}  // namespace gradus
