// SPDX-License-Identifier: Apache-2.0
// libsentencepiece trusts its model files: some broken ones end the process or read outside of
// their memory. This checks what it relies on before it sees a file.
// Source: sentencepiece_model.proto; normalizer.cc and darts.h for the character map.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gradus {

// Values of SentencePiece.Type and TrainerSpec.ModelType.
enum class PieceType {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6
};
enum class SentencePieceKind { kUnigram = 1, kBpe = 2, kWord = 3, kChar = 4 };

// What a model holds, by id; the texts lie in the model's bytes.
struct SentencePieceFacts {
  struct Piece {
    std::string_view text;
    PieceType type;
  };
  SentencePieceKind kind = SentencePieceKind::kUnigram;
  std::vector<Piece> pieces;
};

// Throws gradus::Error naming `where`.
SentencePieceFacts check_sentencepiece_model(std::string_view model, const std::string& where);

}  // namespace gradus
