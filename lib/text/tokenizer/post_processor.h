// SPDX-License-Identifier: Apache-2.0
// The post-processors of tokenizer.json: what is put around the tokens of a text. Trimming of
// offsets (trim_offsets) is not done: our spans keep the spaces that belong to a token.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "text/tokenizer.h"

namespace gradus {

// Adds special tokens with empty spans; `spans` is empty when none are wanted. What one processor
// puts around a text is a part of its own to the next one, as in `tokenizers`. Thread-safe.
using PostProcessor = std::function<void(std::vector<Encoding>& parts)>;

// Runs a post-processor on the tokens of one text.
void post_process(const PostProcessor& processor, Encoding& encoding);

// Throws naming an unknown type.
PostProcessor read_post_processor(const Json& component, const std::string& where, int depth = 0);

}  // namespace gradus
