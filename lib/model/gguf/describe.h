// SPDX-License-Identifier: Apache-2.0
// A model in GGUF's terms, and a GGUF file's model in ours. Each direction is checked with the
// other: what is written is read again and must mean the same model; what is read must have the
// keys with which it would be written.
#pragma once

#include <string>

#include "model/formats/gguf_write.h"
#include "model/gguf/architecture.h"

namespace gradus {

// What a file describes.
struct GgufModel {
  const GgufArchitecture* architecture = nullptr;
  Json document;  // config.json without the dtype
  ModelConfig config;
};
// Throws gradus::Error naming the key for an unknown architecture, a missing or impossible value,
// or a key that changes the mathematics in a way that the family does not have.
GgufModel describe_gguf(const GgufImage& image, const std::string& where);

// The architecture's keys: "llama.block_count", …
GgufMetadata gguf_architecture_keys(const ModelConfig& config,
                                    const GgufArchitecture& architecture);
// Throws naming `where` and what llama.cpp's architecture would compute in another way.
void check_gguf_can_say(const ModelConfig& config, const GgufArchitecture& architecture,
                        const std::string& where);

// {"bos_token_id": …, "eos_token_id": …, "pad_token_id": …}, those that are given; checked against
// the vocabulary. kAll adds the end-of-turn and end-of-message tokens to eos_token_id as a list.
enum class EndTokens { kFirst, kAll };
Json gguf_token_ids(const Json& metadata, int64_t vocab_size, EndTokens ends,
                    const std::string& where);

// "135M": general.size_label.
std::string gguf_size_label(int64_t parameters);

}  // namespace gradus
