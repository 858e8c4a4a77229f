// SPDX-License-Identifier: Apache-2.0
// From the vocabulary in a GGUF file's metadata to a tokenizer.json document.
// Source: llama.cpp's src/llama-vocab.cpp for the splits that tokenizer.ggml.pre names, and
// transformers' integrations/gguf for how SentencePiece merges are recovered.
// Non-goal: the model "rwkv", whose vocabulary no tokenizer.json can hold; see gguf_rwkv.h.
#pragma once

#include <string>

#include "base/json.h"

namespace gradus {

// `metadata` is the flat object of a GGUF file's keys. Handles tokenizer.ggml.model "gpt2"
// (byte-level BPE), "llama" (SentencePiece BPE with byte fallback), "bert" (WordPiece, lower case)
// and "t5" (Unigram). Control tokens become
// special added tokens, user-defined ones plain added tokens; BOS and EOS go into the
// post-processor when the file asks for them. Throws gradus::Error naming `where` and the key for
// what is missing, malformed, or an unknown model or pre-tokenizer.
Json tokenizer_json_from_gguf(const Json& metadata, const std::string& where);

}  // namespace gradus
