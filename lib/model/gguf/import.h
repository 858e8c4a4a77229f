// SPDX-License-Identifier: Apache-2.0
// From a GGUF file to a Hugging Face folder that transformers and Gradus load.
#pragma once

#include <string>

#include "base/files.h"

namespace gradus {

// Writes `gguf` into `folder`, which must exist: config.json, model.safetensors (sharded above 5
// GiB) in `dtype` ("float32", "bfloat16" or "float16", rounded to nearest even), tokenizer.json (or
// RWKV's vocabulary), tokenizer_config.json, chat_template.jinja (when the file has one),
// generation_config.json.
// The families of architecture.h; rows that llama.cpp reorders are put back. Tied embeddings are
// stored once.
// The folder is an AtomicFolder of the caller. Throws gradus::Error naming the key or tensor for
// what is missing, misshapen, not finite, or has no place in the architecture. Of a split file,
// `gguf` is the first part.
void import_gguf(const fs::path& gguf, const fs::path& folder, const std::string& dtype);

}  // namespace gradus
