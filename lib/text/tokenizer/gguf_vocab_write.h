// SPDX-License-Identifier: Apache-2.0
// From a model folder's tokenizer to the vocabulary of a GGUF file, as llama.cpp's converter writes
// it; the other way round is gguf_vocab.h.
// Goals: byte-level BPE ("gpt2"), SentencePiece BPE ("llama") and RWKV's vocabularies ("rwkv"),
// exactly or not at all. Non-goals: Unigram, WordPiece and WordLevel, which are refused by name.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"

namespace gradus {

struct GgufVocabulary {
  std::string model, pre;           // "gpt2", "llama" or "rwkv"; "llama-bpe", …
  std::vector<std::string> tokens;  // by id; ids without a token are "[PAD7]"
  std::vector<float> scores;        // "llama" only
  std::vector<int32_t> types;
  std::vector<std::string> merges;                                  // "gpt2" only
  std::vector<std::pair<std::string, uint32_t>> special;            // {"bos_token_id", 1}, …
  std::vector<std::pair<std::string, bool>> flags;                  // {"add_bos_token", true}, …
  std::vector<std::pair<std::string, std::string>> chat_templates;  // "" is the default
};

// Reads tokenizer.json, and the scores of a SentencePiece tokenizer.model of the same tokens beside
// it, or such a file alone, or RWKV's vocabulary; tokenizer_config.json, generation_config.json,
// config.json and chat_template.jinja of `folder`. `vocab_size` is the model's. Throws
// gradus::Error naming file and key for whatever the GGUF form cannot say.
GgufVocabulary gguf_vocabulary(const fs::path& folder, int64_t vocab_size);

}  // namespace gradus
