// SPDX-License-Identifier: Apache-2.0
#include "data/text_tools.h"

#include "base/error.h"
#include "base/hash.h"

namespace gradus {
namespace {

constexpr const char* kTokenizerFiles[] = {"tokenizer.json", "tokenizer.model",
                                           "tokenizer_config.json", "special_tokens_map.json"};

Json read_if_there(const fs::path& file) {
  return fs::exists(file) ? read_json(file) : Json::object();
}

// "<s>" or {"content": "<s>", …}; anything else, null above all, means none.
std::string token_text(const Json& document, const std::string& key) {
  if (!document.is_object() || !document.contains(key)) return {};
  const Json& value = document.at(key);
  if (value.is_string()) return value.get<std::string>();
  const bool added =
      value.is_object() && value.contains("content") && value.at("content").is_string();
  return added ? value.at("content").get<std::string>() : std::string();
}

std::string token_of_id(const Json& config, const std::string& key, const Tokenizer& tokenizer) {
  if (!config.is_object() || !config.contains(key)) return {};
  const Json& value = config.at(key);
  const Json& id = value.is_array() && !value.empty() ? value.front() : value;
  if (!id.is_number_integer()) return {};
  const auto number = id.get<int64_t>();
  if (number < 0 || number >= tokenizer.vocab_size())
    throw Error({.what = "is not an id of the tokenizer",
                 .where = "config.json: " + key,
                 .expected = cat("0 to ", tokenizer.vocab_size() - 1),
                 .found = std::to_string(number)});
  return tokenizer.id_to_token(static_cast<TokenId>(number));
}

std::string special_token(const fs::path& folder, const std::string& name,
                          const Tokenizer& tokenizer) {
  for (const char* file : {"tokenizer_config.json", "special_tokens_map.json"}) {
    const std::string token = token_text(read_if_there(folder / file), name);
    if (!token.empty()) return token;
  }
  return token_of_id(read_if_there(folder / "config.json"), name + "_id", tokenizer);
}

std::string digest_of_files(const fs::path& folder) {
  std::string all;
  for (const char* name : kTokenizerFiles) {
    if (fs::exists(folder / name)) all += cat(name, " ", sha256_file(folder / name), "\n");
  }
  return sha256_hex(all);
}

}  // namespace

TextTools load_text_tools(const fs::path& model_folder) {
  TextTools tools{.tokenizer = load_tokenizer(model_folder),
                  .chat_template = load_chat_template(model_folder),
                  .bos_token = {},
                  .eos_token = {},
                  .tokenizer_digest = digest_of_files(model_folder)};
  tools.bos_token = special_token(model_folder, "bos_token", *tools.tokenizer);
  tools.eos_token = special_token(model_folder, "eos_token", *tools.tokenizer);
  return tools;
}

}  // namespace gradus
