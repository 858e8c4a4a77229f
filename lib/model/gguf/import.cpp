// SPDX-License-Identifier: Apache-2.0
#include "model/gguf/import.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "model/gguf/convert.h"
#include "model/gguf/describe.h"
#include "text/tokenizer/gguf_rwkv.h"
#include "text/tokenizer/gguf_vocab.h"

namespace gradus {
namespace {

const Json::array_t& tokens_of(const Json& metadata, const std::string& where) {
  if (!metadata.contains("tokenizer.ggml.tokens")) json_missing("tokenizer.ggml.tokens", where);
  const Json& tokens = metadata["tokenizer.ggml.tokens"];
  const bool texts =
      tokens.is_array() && std::all_of(tokens.begin(), tokens.end(),
                                       [](const Json& token) { return token.is_string(); });
  if (!texts)
    throw Error({.what = "key 'tokenizer.ggml.tokens' is not an array of strings", .where = where});
  return tokens.get_ref<const Json::array_t&>();
}

void check_vocabulary(const GgufFile& file, const GgufModel& model) {
  const auto tokens = static_cast<int64_t>(tokens_of(file.metadata(), file.path().string()).size());
  if (tokens <= model.config.vocab_size) return;
  throw Error({.what = "the tokenizer does not fit the model",
               .where = file.path().string(),
               .expected = cat("at most ", model.config.vocab_size, " tokens"),
               .found = cat(tokens)});
}

Json tokenizer_config(const GgufFile& file, const GgufModel& model) {
  const Json& metadata = file.metadata();
  const std::string where = file.path().string();
  const auto& tokens = tokens_of(metadata, where);
  // llama.cpp's default: SentencePiece vocabularies begin with BOS, byte-level ones do not.
  const bool sentencepiece =
      json_get<std::string>(metadata, "tokenizer.ggml.model", "", where) == "llama";
  Json config = {
      {"add_bos_token",
       json_get<bool>(metadata, "tokenizer.ggml.add_bos_token", sentencepiece, where)},
      {"add_eos_token", json_get<bool>(metadata, "tokenizer.ggml.add_eos_token", false, where)},
      {"clean_up_tokenization_spaces", false},
      {"model_max_length", model.config.max_position_embeddings},
      {"tokenizer_class", "PreTrainedTokenizerFast"}};
  for (const auto& [name, key] :
       {std::pair{"bos", "bos"}, {"eos", "eos"}, {"pad", "padding"}, {"unk", "unknown"}}) {
    const std::string full = cat("tokenizer.ggml.", key, "_token_id");
    if (!metadata.contains(full)) continue;
    const auto id = json_get<int64_t>(metadata, full, where);
    if (id >= 0 && id < static_cast<int64_t>(tokens.size())) {
      config[cat(name, "_token")] = tokens[static_cast<size_t>(id)];
    }
  }
  return config;
}

// RWKV's vocabulary has a file of its own, and tokenizer_config.json the texts of tokens, which
// GGUF files hold escaped.
void write_rwkv_tokenizer(const GgufFile& file, const fs::path& folder, Json config) {
  const std::string where = file.path().string();
  const RwkvVocabulary vocabulary = rwkv_vocabulary_from_gguf(file.metadata(), where);
  config["tokenizer_class"] = "RwkvTokenizer";
  config["added_tokens_decoder"] = vocabulary.added;
  const Json& first = tokens_of(file.metadata(), where).front();
  for (const char* name : {"bos_token", "eos_token", "pad_token", "unk_token"}) {
    if (!config.contains(name)) continue;
    if (config.at(name) == first) {
      config[name] = vocabulary.end_of_text;
    } else if (const auto text = rwkv_token_text(config.at(name).get<std::string>())) {
      config[name] = *text;
    } else {
      config.erase(name);  // no text says it
    }
  }
  write_file_atomic(folder / "rwkv_vocab_v20230424.txt", vocabulary.lines);
  write_json(folder / "tokenizer_config.json", config);
}

void write_tokenizer(const GgufFile& file, const GgufModel& model, const fs::path& folder) {
  const std::string where = file.path().string();
  const Json config = tokenizer_config(file, model);
  if (json_get<std::string>(file.metadata(), "tokenizer.ggml.model", "", where) == "rwkv")
    return write_rwkv_tokenizer(file, folder, config);
  write_json(folder / "tokenizer.json", tokenizer_json_from_gguf(file.metadata(), where));
  write_json(folder / "tokenizer_config.json", config);
}

void write_chat_template(const GgufFile& file, const fs::path& folder) {
  const auto source =
      json_get<std::string>(file.metadata(), "tokenizer.chat_template", "", file.path().string());
  if (source == "rwkv-world") {  // what llama.cpp's older converters wrote
    log_warning("gguf", file.path().string() +
                            ": names a chat template of llama.cpp's, rwkv-world, and has none");
    return;
  }
  if (!source.empty()) write_file_atomic(folder / "chat_template.jinja", source);
}

Json generation_config(const GgufFile& file, const GgufModel& model) {
  return gguf_token_ids(file.metadata(), model.config.vocab_size, EndTokens::kAll,
                        file.path().string());
}

}  // namespace

void import_gguf(const fs::path& gguf, const fs::path& folder, const std::string& dtype) {
  const FloatFormat& format = float_format(dtype);
  const GgufFile file(gguf);
  const std::string where = gguf.string();
  GgufModel model = describe_gguf(file.image(), where);
  check_vocabulary(file, model);
  const auto places = gguf_places(model.config, *model.architecture, &file.image());
  const auto tensors = place_gguf_tensors(file.image(), places, where);

  model.document["torch_dtype"] = format.name;
  write_json(folder / "config.json", model.document);
  write_json(folder / "generation_config.json", generation_config(file, model));
  write_tokenizer(file, model, folder);
  write_chat_template(file, folder);
  stream_safetensors_folder(folder, tensors_from_gguf(tensors, format, where));
}

}  // namespace gradus
