// SPDX-License-Identifier: Apache-2.0
// What turns text into ids: a model's tokenizer, its chat template and its special tokens.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/files.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace gradus {

struct TextTools {
  std::unique_ptr<const Tokenizer> tokenizer;
  std::optional<ChatTemplate> chat_template;  // absent: conversations cannot be used
  std::string bos_token, eos_token;           // "" when the model has none
  std::string tokenizer_digest;               // SHA-256 of the tokenizer's files
};

// From a model folder. The special tokens come from tokenizer_config.json, else
// special_tokens_map.json, else the ids in config.json; a list of end tokens counts as its first.
TextTools load_text_tools(const fs::path& model_folder);

}  // namespace gradus
