// SPDX-License-Identifier: Apache-2.0
// RWKV "World" vocabularies (rwkv_vocab_v20230424.txt): lines of an id, a Python literal of a
// string or of bytes, and its number of bytes. A text is cut from the left into the longest tokens.
// Id 0 ends a text and has no line.
// Source: github.com/BlinkDL/ChatRWKV, tokenizer/rwkv_tokenizer.py.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "text/tokenizer.h"

namespace gradus {

// Throws gradus::Error naming `where` and the line.
std::unique_ptr<Tokenizer> tokenizer_from_rwkv(std::string_view vocabulary,
                                               const std::string& where);

}  // namespace gradus
