// SPDX-License-Identifier: Apache-2.0
// Kinds of tokens, as SentencePiece's models and GGUF's tokenizer.ggml.token_type number them.
#pragma once

#include <cstdint>

namespace gradus {

enum PieceType : int32_t {
  kNormalPiece = 1,
  kUnknownPiece = 2,
  kControlPiece = 3,
  kUserDefinedPiece = 4,
  kUnusedPiece = 5,
  kBytePiece = 6,
};

}  // namespace gradus
