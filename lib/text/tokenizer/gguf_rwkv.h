// SPDX-License-Identifier: Apache-2.0
// RWKV's vocabularies in GGUF files (tokenizer.ggml.model "rwkv"): each token's bytes are written
// as the inside of a Python literal, and id 0 stands for the end of a text. Source: llama.cpp's
// conversion/base.py and llama_unescape_rwkv_token().
#pragma once

#include <optional>
#include <string>

#include "base/files.h"
#include "text/tokenizer/gguf_vocab_write.h"

namespace gradus {

// What a model folder needs; see rwkv_vocab.h.
struct RwkvVocabulary {
  std::string lines;            // of rwkv_vocab_v20230424.txt
  Json added = Json::object();  // "added_tokens_decoder" of tokenizer_config.json
  std::string end_of_text;      // how id 0 is written
};

// Throws gradus::Error naming `where` and the key or token for what is missing or malformed.
RwkvVocabulary rwkv_vocabulary_from_gguf(const Json& metadata, const std::string& where);

// The text of a token that a file writes so; nothing if it is malformed or no UTF-8.
std::optional<std::string> rwkv_token_text(const std::string& written);

// Fills model, tokens and types from such a file and the folder's tokenizer_config.json.
void fill_rwkv_tokens(const fs::path& file, const Json& config, int64_t vocab_size,
                      GgufVocabulary& out);

}  // namespace gradus
