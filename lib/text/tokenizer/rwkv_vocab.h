// SPDX-License-Identifier: Apache-2.0
// RWKV "World" vocabularies (rwkv_vocab_v20230424.txt): lines of an id, a Python literal of a
// string or of bytes, and its number of bytes. A text is cut from the left into the longest tokens.
// Id 0 ends a text and has no line. Folders made for transformers say in tokenizer_config.json how
// it is written, and may add more tokens; these are found in a text before all others.
// Source: github.com/BlinkDL/ChatRWKV, tokenizer/rwkv_tokenizer.py.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/files.h"
#include "base/json.h"
#include "text/tokenizer.h"

namespace gradus {

// `config` is the folder's tokenizer_config.json, {} without one: only "added_tokens_decoder" is
// read. Throws gradus::Error naming `where` and the line, or the key.
std::unique_ptr<Tokenizer> tokenizer_from_rwkv(std::string_view vocabulary, const Json& config,
                                               const std::string& where);

// The folder's rwkv_vocab_*.txt, the first by name.
std::optional<fs::path> find_rwkv_vocabulary(const fs::path& folder);

// How id 0 is written where nobody says.
inline constexpr const char* kRwkvEndOfText = "<|endoftext|>";

// The bytes of a Python literal: 'text', "text" or b'bytes' with their escapes; nothing if it is
// malformed. And a literal b'…' of bytes, as Python's repr() writes it.
std::optional<std::string> read_python_literal(std::string_view literal);
std::string python_literal(std::string_view bytes);

}  // namespace gradus
