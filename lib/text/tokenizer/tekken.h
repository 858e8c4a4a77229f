// SPDX-License-Identifier: Apache-2.0
// Mistral's tekken.json: the expression that cuts text, tokens in base64 by rank, and special
// tokens, which have the first ids. Source: github.com/mistralai/mistral-common, tekken.py.
#pragma once

#include "base/files.h"
#include "base/json.h"

namespace gradus {

// The tokenizer.json that such a file means, with what tokenizer_config.json beside it says of BOS
// and EOS. Throws gradus::Error for a malformed file.
Json tokenizer_json_from_tekken(const Json& tekken, const fs::path& file);

}  // namespace gradus
