// SPDX-License-Identifier: Apache-2.0
// What the files beside a tokenizer.model make of it. Alone, a model is what SentencePiece itself
// does. With a tokenizer_config.json (or special_tokens_map.json, added_tokens.json) the tokenizer
// class counts: LlamaTokenizer and GemmaTokenizer run the model as byte-pair encoding in
// `tokenizers`, which treats spaces at the start of a text in its own way; the classes of models
// that bring their own Python cut the text at added tokens and leave the rest to SentencePiece.
// Sources: transformers 5, tokenization_llama.py and tokenization_gemma.py; the models' files.
#pragma once

#include <optional>

#include "base/json.h"
#include "text/tokenizer/sentencepiece_check.h"
#include "text/tokenizer/tokenizer_folder.h"

namespace gradus {

// What is put to SentencePiece's own encoding. `added_tokens` is as in tokenizer.json, with ids
// that may stand for pieces of other names; `before` and `after` surround a text.
struct SentencePieceAdditions {
  Json added_tokens = Json::array();
  std::vector<int64_t> before = {}, after = {};
};

// The tokenizer.json of a model whose class `tokenizers` runs, else nullopt.
std::optional<Json> tokenizer_json_from_sentencepiece(const SentencePieceModel& facts,
                                                      const TokenizerFolder& folder);

// The model's own; -1: none.
struct SentencePieceEnds {
  int64_t bos = -1, eos = -1;
};

// Throws gradus::Error for a class that renumbers the pieces.
SentencePieceAdditions sentencepiece_additions(const SentencePieceModel& facts,
                                               const TokenizerFolder& folder,
                                               const SentencePieceEnds& ends);

}  // namespace gradus
