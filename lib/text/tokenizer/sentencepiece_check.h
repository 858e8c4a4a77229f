// SPDX-License-Identifier: Apache-2.0
// libsentencepiece trusts its model files: some broken ones end the process or read outside of
// their memory. This checks what it relies on before it sees a file.
// Source: sentencepiece_model.proto; normalizer.cc and darts.h for the character map.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer/piece_type.h"

namespace gradus {

// What a model file says, with the format's defaults.
struct SentencePieceModel {
  struct Piece {
    std::string text;
    float score = 0;
    PieceType type = kNormalPiece;
  };
  std::vector<Piece> pieces;                    // by id
  bool bpe = false;                             // else Unigram, words or letters
  bool space_prefix = true;                     // a space is put before every text
  bool removes_spaces = true;                   // runs of spaces become one
  bool replaces_text = false;                   // it has a map of letters
  int64_t unk = 0, bos = 1, eos = 2, pad = -1;  // ids; -1: none
};

// Throws gradus::Error naming `where`.
SentencePieceModel read_sentencepiece_model(std::string_view model, const std::string& where);

}  // namespace gradus
