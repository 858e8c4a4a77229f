// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"
#include "text/tokenizer.h"

namespace gradus {

Encoding Tokenizer::encode_guarded(std::string_view text, const std::vector<ByteSpan>&) const {
  return encode_with_spans(text, SpecialTokens::kNone);
}

std::unique_ptr<Tokenizer> load_tokenizer(const fs::path& model_folder) {
  const fs::path json = model_folder / "tokenizer.json", model = model_folder / "tokenizer.model";
  if (fs::exists(json)) return tokenizer_from_json(read_json(json), json.string());
  if (fs::exists(model)) return tokenizer_from_sentencepiece(model);
  throw Error({.what = "folder has no tokenizer",
               .where = model_folder.string(),
               .expected = "tokenizer.json or tokenizer.model"});
}

}  // namespace gradus
