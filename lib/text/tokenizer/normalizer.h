// SPDX-License-Identifier: Apache-2.0
// The normalizers of tokenizer.json.
#pragma once

#include <functional>
#include <string>

#include "base/json.h"
#include "text/tokenizer/aligned_text.h"

namespace gradus {

// Changes a text in place and keeps its alignment. Thread-safe.
using Normalizer = std::function<void(AlignedText& text)>;

// None for null; throws naming an unknown type.
Normalizer read_normalizer(const Json& component, const std::string& where, int depth = 0);

}  // namespace gradus
