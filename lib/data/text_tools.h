// SPDX-License-Identifier: Apache-2.0
// What turns text into ids: a model's tokenizer, its chat template and its special tokens.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/digest.h"
#include "base/files.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace gradus {

struct TextTools {
  std::unique_ptr<const Tokenizer> tokenizer;
  std::optional<ChatTemplate> chat_template;  // absent: conversations cannot be used
  std::string bos_token, eos_token;           // "" when the model has none
  std::string tokenizer_digest;               // as tokenizer_digest() gives it
};

// From a model folder. The special tokens come from tokenizer_config.json, else
// special_tokens_map.json, else the ids in config.json; a list of end tokens counts as its first.
TextTools load_text_tools(const fs::path& model_folder);

// Digest of the files that turn text into ids, "" when there are none. tokenizer_config.json is not
// one of them: models that differ in their chat template only have the same tokenizer.
std::string tokenizer_digest(const fs::path& model_folder, DigestCache& cache);

// Throws gradus::Error at `where` when the tokenizer has ids that a model of `vocab_size` lacks.
void check_tokenizer_fits(const Tokenizer& tokenizer, int64_t vocab_size, const std::string& where);

// A rendered conversation as ids, the same in training and in serving: what its messages say is
// data and cannot become control tokens (Tokenizer::encode_guarded).
Encoding encode_chat(const RenderedChat& chat, const Tokenizer& tokenizer);

}  // namespace gradus
