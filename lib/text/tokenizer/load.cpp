// SPDX-License-Identifier: Apache-2.0
#include <optional>

#include "base/error.h"
#include "base/parallel.h"
#include "base/signals.h"
#include "text/tokenizer.h"
#include "text/tokenizer/rwkv_vocab.h"
#include "text/tokenizer/tekken.h"
#include "text/tokenizer/tiktoken.h"
#include "text/tokenizer/vocabulary_files.h"

namespace gradus {

Encoding Tokenizer::encode_guarded(std::string_view text, const std::vector<ByteSpan>&) const {
  return encode_with_spans(text, SpecialTokens::kNone);
}

std::vector<std::vector<TokenId>> Tokenizer::encode_batch(const std::vector<std::string>& texts,
                                                          SpecialTokens special) const {
  std::vector<std::vector<TokenId>> rows(texts.size());
  parallel_for(static_cast<int64_t>(texts.size()), 1, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      throw_if_stopped();
      try {
        rows[i] = encode_in_batch(texts[i], special);
      } catch (const Error& error) {
        throw Error({.what = error.what(), .where = cat("text ", i)});
      }
    }
  });
  pad_batch(rows);
  return rows;
}

namespace {

// The file of the folder whose name has this end, the first by name.
std::optional<fs::path> find_file(const fs::path& folder, std::string_view end) {
  std::optional<fs::path> found;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(end) && (!found || entry.path() < *found)) found = entry.path();
  }
  return found;
}

Json tokenizer_config(const fs::path& folder) {
  const fs::path file = folder / "tokenizer_config.json";
  return fs::exists(file) ? read_json(file) : Json::object();
}

std::unique_ptr<Tokenizer> load_model_file(const fs::path& file) {
  const MappedFile mapped(file);
  if (looks_like_tiktoken(mapped.text().substr(0, 4096)))
    return tokenizer_from_tiktoken(mapped.text(), file);
  return tokenizer_from_sentencepiece(file);
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const fs::path& model_folder) {
  if (!fs::is_directory(model_folder))
    throw Error(
        {.what = fs::exists(model_folder) ? "is a file, not a model folder" : "does not exist",
         .where = model_folder.string(),
         .expected = "a folder with a tokenizer"});
  const fs::path json = model_folder / "tokenizer.json", tekken = model_folder / "tekken.json";
  if (fs::exists(json)) return tokenizer_from_json(read_json(json), json.string());
  if (fs::exists(tekken))
    return tokenizer_from_json(tokenizer_json_from_tekken(read_json(tekken), tekken),
                               tekken.string());
  for (const char* name : {"tokenizer.model", "tiktoken.model"}) {
    if (fs::exists(model_folder / name)) return load_model_file(model_folder / name);
  }
  if (const auto file = find_file(model_folder, ".tiktoken"))
    return tokenizer_from_tiktoken(MappedFile(*file).text(), *file);
  if (const auto file = find_rwkv_vocabulary(model_folder))
    return tokenizer_from_rwkv(read_file(*file), tokenizer_config(model_folder), file->string());
  if (has_vocabulary_files(model_folder))
    return tokenizer_from_json(tokenizer_json_from_vocabulary(model_folder), model_folder.string());
  throw Error({.what = "folder has no tokenizer",
               .where = model_folder.string(),
               .expected = "tokenizer.json, tekken.json, tokenizer.model, tiktoken.model, "
                           "*.tiktoken, rwkv_vocab_*.txt, vocab.json or vocab.txt"});
}

}  // namespace gradus
