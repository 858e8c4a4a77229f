// SPDX-License-Identifier: Apache-2.0
// Vocabularies of tiktoken's kind, where a token's rank is its only merge.
#pragma once

#include <map>
#include <string>

#include "base/json.h"

namespace gradus {

// The "model" of a tokenizer.json for tokens by rank: every cut of a token into two tokens is a
// merge, and a whole piece that is a token stays one. Ids are rank + `first_id`.
Json byte_ranks_model(const std::map<int64_t, std::string>& ranks, int64_t first_id);

// The pre-tokenizer that cuts by one expression and goes on with bytes.
Json pattern_then_bytes(const std::string& pattern);

}  // namespace gradus
