// SPDX-License-Identifier: Apache-2.0
// The decoders of tokenizer.json: from the texts of tokens to text.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/json.h"

namespace gradus {

struct Decoder {
  // Rewrites the list of token texts; decoded text is what is left, joined. Thread-safe.
  std::function<void(std::vector<std::string>& tokens)> run = {};
  // The same for one token that is neither the first nor the last; may give any bytes.
  std::function<void(std::string& token)> run_inside = {};
  // Text is the concatenation of each token's run_inside, ill-formed UTF-8 replaced.
  bool concatenates = false;
  // A run of <0xXX> tokens is decoded as a whole.
  bool joins_bytes = false;
  // Later steps see one text, no longer tokens.
  bool fuses = false;
};

// Throws naming an unknown type.
Decoder read_decoder(const Json& component, const std::string& where, int depth = 0);

// The byte of a token "<0xXX>", or -1.
int byte_token(std::string_view token);

}  // namespace gradus
