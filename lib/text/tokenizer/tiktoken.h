// SPDX-License-Identifier: Apache-2.0
// tiktoken vocabularies: lines of a token in base64 and its rank, as qwen.tiktoken, GLM-4's
// tokenizer.model and OpenAI's *.tiktoken files have them. The file holds neither the expression
// that cuts text nor the special tokens: those belong to the model, which its files name.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/files.h"
#include "text/tokenizer.h"

namespace gradus {

// Whether a file that starts with `head` is such a vocabulary.
bool looks_like_tiktoken(std::string_view head);

// `text` is what `file` holds. The model is told by the file's name and by tokenizer_config.json
// and config.json beside it; throws gradus::Error when they name no known one, and for malformed
// lines.
std::unique_ptr<Tokenizer> tokenizer_from_tiktoken(std::string_view text, const fs::path& file);

}  // namespace gradus
