// SPDX-License-Identifier: Apache-2.0
// What a GGUF file's metadata says in Hugging Face terms: config.json and the sizes behind it.
#pragma once

#include <cstdint>

#include "base/json.h"
#include "model/formats/gguf.h"

namespace gradus {

// llama.cpp stores the rows of q and k of some architectures with the two halves of each head
// interleaved, for its rotary embedding.
enum class QkRows { kAsIs, kInterleaved };

// The tensors beyond the common ones that a model has.
struct GgufExtras {
  bool qkv_bias = false, output_bias = false, mlp_bias = false, qk_norm = false;
};

// Field names are those of config.json.
struct GgufModel {
  const char* model_type = "";
  QkRows qk_rows = QkRows::kAsIs;
  GgufExtras extras;
  int64_t hidden_size = 0, intermediate_size = 0, num_hidden_layers = 0;
  int64_t num_attention_heads = 0, num_key_value_heads = 0, head_dim = 0, vocab_size = 0;
  bool tie_word_embeddings = false;
  Json config;  // config.json without the dtype
};

// Throws gradus::Error naming the key for an unknown architecture, a missing or impossible value,
// or a key that changes the mathematics in a way that these families do not have.
GgufModel describe_gguf(const GgufFile& file);

// {"bos_token_id": …, "eos_token_id": …, "pad_token_id": …}, those that are given; checked against
// the vocabulary. kAll adds the end-of-turn and end-of-message tokens to eos_token_id as a list.
enum class EndTokens { kFirst, kAll };
Json gguf_token_ids(const Json& metadata, int64_t vocab_size, EndTokens ends,
                    const std::string& where);

}  // namespace gradus
