// SPDX-License-Identifier: Apache-2.0
// The values of tokenizer.ggml.pre: how a byte-level vocabulary cuts text, by name.
// Source: llama.cpp's src/llama-vocab.cpp.
#pragma once

#include <string>

#include "base/json.h"

namespace gradus {

// What a name stands for, as parts of a tokenizer.json.
struct GgufPreType {
  Json normalizer, pre_tokenizer;
  bool ignore_merges = false;
  bool adds_bos = false;  // when the file does not say
};

// Throws naming `where` and the known ones for an unknown name.
GgufPreType gguf_pre_type(const std::string& name, const std::string& where);

// The name for a tokenizer.json's normalizer, pre-tokenizer and ignore_merges; throws naming
// `where` and what was found when none computes the same.
std::string gguf_pre_type_of(const Json& tokenizer, const std::string& where);

}  // namespace gradus
