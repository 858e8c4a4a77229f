// SPDX-License-Identifier: Apache-2.0
// The pre-tokenizers of tokenizer.json.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/json.h"
#include "text/tokenizer/pieces.h"
#include "text/tokenizer/word_scanner.h"

namespace gradus {

// Cuts pieces into smaller ones; may also change the text. Thread-safe.
using PreTokenizer = std::function<void(Pieces& pieces)>;

// When the alignment of the text is needed although nobody asks for spans: never, if a normalizer
// may have edited the text, or always.
enum class Alignment { kUnused, kOfEdited, kAlways };

struct PreTokenizers {
  PreTokenizer run = {};
  // The last step that changes the text writes bytes as characters (ByteLevel). It is left out of
  // `run` when so asked: the model then takes bytes, which gives the same tokens with less work.
  bool ends_in_bytes = false;
  Alignment alignment = Alignment::kUnused;
  bool is_identity = false;  // `run` changes nothing
  // Set when `run` does nothing but cut text as this does.
  std::shared_ptr<const WordScanner> words = {};
};

enum class FinalBytes { kWritten, kLeftOut };

// Throws naming an unknown type.
PreTokenizers read_pre_tokenizer(const Json& component, FinalBytes bytes, const std::string& where);

}  // namespace gradus
