// SPDX-License-Identifier: Apache-2.0
#include "model/formats/gguf_config.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "model/formats/gguf_keys.h"
#include "model/formats/gguf_rope.h"

namespace gradus {
namespace {

struct Family {
  const char* gguf;
  const char* model_type;
  const char* architecture;
  QkRows qk_rows;
};

constexpr Family kFamilies[] = {
    {"llama", "llama", "LlamaForCausalLM", QkRows::kInterleaved},
    {"mistral", "mistral", "MistralForCausalLM", QkRows::kInterleaved},
    {"qwen2", "qwen2", "Qwen2ForCausalLM", QkRows::kAsIs},
    {"qwen3", "qwen3", "Qwen3ForCausalLM", QkRows::kAsIs},
};

// Keys with which llama.cpp would compute something that these families do not have; harmless only
// with the value given.
struct Neutral {
  const char* key;
  double value;
};

constexpr Neutral kNeutral[] = {
    {"expert_count", 0},
    {"logit_scale", 1},
    {"residual_scale", 1},
    {"embedding_scale", 1},
    {"attention.scale", 0},
    {"attention.clamp_kqv", 0},
    {"attn_logit_softcapping", 0},
    {"final_logit_softcapping", 0},
    {"attention.max_alibi_bias", 0},
    {"attention.output_scale", 1},
    {"attention.temperature_length", 0},
    {"rope.scaling.attn_factor", 1},
    {"rope.scaling.yarn_log_multiplier", 0},
    {"rope.scaling.yarn_ext_factor", 1},
    {"rope.scaling.yarn_attn_factor", 1},
};

const Family& family_of(const GgufKeys& keys) {
  for (const Family& family : kFamilies) {
    if (keys.architecture() != family.gguf) continue;
    // A llama with a sliding window is what Hugging Face calls mistral.
    const bool windowed = keys.architecture() == "llama" && keys.has("attention.sliding_window");
    return windowed ? kFamilies[1] : family;
  }
  throw Error({.what = "the architecture cannot be imported",
               .where = keys.where(),
               .expected = "llama, mistral, qwen2 or qwen3",
               .found = "'" + printable(keys.architecture()) + "'"});
}

void refuse_other_mathematics(const GgufKeys& keys) {
  for (const Neutral& neutral : kNeutral) {
    if (keys.has(neutral.key) && keys.number(neutral.key) != neutral.value) {
      keys.refuse(neutral.key, "is not supported for this architecture", cat(neutral.value));
    }
  }
}

const GgufTensor& required(const GgufFile& file, const std::string& name) {
  if (const GgufTensor* tensor = file.find(name)) return *tensor;
  throw Error({.what = "tensor '" + name + "' is missing", .where = file.path().string()});
}

int64_t head_dim_of(const GgufKeys& keys, const GgufModel& model) {
  if (!keys.has("attention.key_length") && model.hidden_size % model.num_attention_heads != 0) {
    keys.refuse("embedding_length", "is not a multiple of attention.head_count");
  }
  const int64_t head_dim =
      keys.size("attention.key_length", model.hidden_size / model.num_attention_heads);
  for (const char* same : {"attention.value_length", "rope.dimension_count"}) {
    if (keys.size(same, head_dim) != head_dim)
      keys.refuse(same, "must equal the head width", cat(head_dim));
  }
  if (head_dim % 2 != 0) keys.refuse("attention.key_length", "gives an odd head width");
  return head_dim;
}

void read_sizes(const GgufFile& file, const GgufKeys& keys, GgufModel& model) {
  model.hidden_size = keys.size("embedding_length");
  model.intermediate_size = keys.size("feed_forward_length");
  model.num_hidden_layers = keys.size("block_count");
  model.num_attention_heads = keys.size("attention.head_count");
  model.num_key_value_heads = keys.size("attention.head_count_kv", model.num_attention_heads);
  if (model.num_attention_heads % model.num_key_value_heads != 0) {
    keys.refuse("attention.head_count_kv", "does not divide attention.head_count");
  }
  model.head_dim = head_dim_of(keys, model);
  // The embedding's rows, not the key: some files pad the matrix and leave the key unpadded.
  const GgufTensor& embedding = required(file, "token_embd.weight");
  model.vocab_size = embedding.shape.size() == 2 ? embedding.shape[0] : 0;
  model.tie_word_embeddings = file.find("output.weight") == nullptr;
}

void read_extras(const GgufFile& file, GgufModel& model) {
  const std::string type = model.model_type;
  const bool may_bias = type == "llama" || type == "qwen3";
  const bool attention_bias = may_bias && file.find("blk.0.attn_q.bias") != nullptr;
  model.extras = {.qkv_bias = type == "qwen2" || attention_bias,
                  .output_bias = attention_bias,
                  .mlp_bias = type == "llama" && file.find("blk.0.ffn_gate.bias") != nullptr,
                  .qk_norm = type == "qwen3"};
}

Json config_of(const GgufKeys& keys, const Family& family, const GgufModel& model) {
  Json config = {{"architectures", {family.architecture}},
                 {"model_type", family.model_type},
                 {"vocab_size", model.vocab_size},
                 {"hidden_size", model.hidden_size},
                 {"intermediate_size", model.intermediate_size},
                 {"num_hidden_layers", model.num_hidden_layers},
                 {"num_attention_heads", model.num_attention_heads},
                 {"num_key_value_heads", model.num_key_value_heads},
                 {"head_dim", model.head_dim},
                 {"hidden_act", "silu"},
                 {"max_position_embeddings", keys.size("context_length")},
                 {"rms_norm_eps", keys.number("attention.layer_norm_rms_epsilon")},
                 {"tie_word_embeddings", model.tie_word_embeddings},
                 {"attention_dropout", 0.0},
                 {"initializer_range", 0.02},
                 {"use_cache", true}};
  const std::string type = model.model_type;
  if (type == "llama" || type == "qwen3") config["attention_bias"] = model.extras.output_bias;
  if (type == "llama") config["mlp_bias"] = model.extras.mlp_bias;
  if (type == "qwen2" || type == "qwen3") config["use_sliding_window"] = false;
  if (type == "mistral") {
    config["sliding_window"] =
        keys.has("attention.sliding_window") ? Json(keys.size("attention.sliding_window")) : Json();
  }
  return config;
}

int64_t token_id(const Json& metadata, const std::string& key, int64_t vocab_size,
                 const std::string& where) {
  const auto id = json_get<int64_t>(metadata, key, where);
  if (id >= 0 && id < vocab_size) return id;
  throw Error({.what = "key '" + key + "' is not a token of this model",
               .where = where,
               .expected = cat("0 to ", vocab_size - 1),
               .found = cat(id)});
}

}  // namespace

GgufModel describe_gguf(const GgufFile& file) {
  const std::string where = file.path().string();
  const GgufKeys keys(file.metadata(), where);
  const Family& family = family_of(keys);
  refuse_other_mathematics(keys);
  GgufModel model;
  model.model_type = family.model_type;
  model.qk_rows = family.qk_rows;
  read_sizes(file, keys, model);
  read_extras(file, model);
  model.config = config_of(keys, family, model);
  model.config["rope_theta"] = keys.has("rope.freq_base") ? keys.number("rope.freq_base") : 10000.0;
  model.config["rope_scaling"] = gguf_rope_scaling(file, keys, model);
  model.config.update(gguf_token_ids(file.metadata(), model.vocab_size, EndTokens::kFirst, where));
  return model;
}

Json gguf_token_ids(const Json& metadata, int64_t vocab_size, EndTokens ends,
                    const std::string& where) {
  const auto read = [&](const char* name) {
    return token_id(metadata, cat("tokenizer.ggml.", name, "_token_id"), vocab_size, where);
  };
  const auto has = [&](const char* name) {
    return metadata.contains(cat("tokenizer.ggml.", name, "_token_id"));
  };
  Json ids = Json::object();
  if (has("bos")) ids["bos_token_id"] = read("bos");
  std::vector<int64_t> end_ids;
  for (const char* name : {"eos", "eot", "eom"}) {
    if (!has(name) || (ends == EndTokens::kFirst && !end_ids.empty())) continue;
    const int64_t id = read(name);
    if (std::find(end_ids.begin(), end_ids.end(), id) == end_ids.end()) end_ids.push_back(id);
  }
  if (!end_ids.empty())
    ids["eos_token_id"] = end_ids.size() == 1 ? Json(end_ids[0]) : Json(end_ids);
  if (has("padding")) ids["pad_token_id"] = read("padding");
  return ids;
}

}  // namespace gradus
