// SPDX-License-Identifier: Apache-2.0
#include "data/text_tools.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/hash.h"

namespace gradus {
namespace {

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

// In order, without overlaps.
std::vector<ByteSpan> content_spans(const RenderedChat& chat) {
  std::vector<ByteSpan> spans;
  for (const ContentSpan& content : chat.contents) {
    const size_t from = spans.empty() ? 0 : spans.back().end;
    if (content.text.end <= from) continue;
    spans.push_back({std::max(content.text.begin, from), content.text.end});
  }
  return spans;
}

// A vocabulary whose name carries a version, and the tokens that its folder adds; or nothing.
std::vector<FileDigest> rwkv_vocabulary(const fs::path& folder, DigestCache& cache) {
  std::vector<FileDigest> found;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("rwkv_vocab_") && name.ends_with(".txt"))
      found.push_back({name, cache.file(entry.path())});
  }
  const Json config = found.empty() ? Json() : read_if_there(folder / "tokenizer_config.json");
  if (config.is_object() && config.contains("added_tokens_decoder"))
    found.push_back({"added_tokens_decoder", sha256_hex(config.at("added_tokens_decoder").dump())});
  return found;
}

}  // namespace

TextTools load_text_tools(const fs::path& model_folder) {
  DigestCache digests;
  TextTools tools{.tokenizer = load_tokenizer(model_folder),
                  .chat_template = load_chat_template(model_folder),
                  .bos_token = {},
                  .eos_token = {},
                  .tokenizer_digest = tokenizer_digest(model_folder, digests)};
  tools.bos_token = special_token(model_folder, "bos_token", *tools.tokenizer);
  tools.eos_token = special_token(model_folder, "eos_token", *tools.tokenizer);
  return tools;
}

std::string tokenizer_digest(const fs::path& model_folder, DigestCache& cache) {
  static constexpr std::array kNames = {
      "added_tokens.json", "merges.txt",     "special_tokens_map.json",
      "spiece.model",      "tiktoken.model", "tokenizer.json",
      "tokenizer.model",   "vocab.json",     "vocab.txt"};
  std::vector<FileDigest> found;
  for (const char* name : kNames) {
    std::error_code ignored;
    if (fs::is_regular_file(model_folder / name, ignored))
      found.push_back({name, cache.file(model_folder / name)});
  }
  for (FileDigest& file : rwkv_vocabulary(model_folder, cache)) found.push_back(std::move(file));
  return found.empty() ? "" : list_digest(found);
}

void check_tokenizer_fits(const Tokenizer& tokenizer, int64_t vocab_size,
                          const std::string& where) {
  if (tokenizer.vocab_size() <= vocab_size) return;
  throw Error({.what = "the tokenizer does not fit the model",
               .where = where,
               .expected = cat("at most ", vocab_size, " tokens (vocab_size)"),
               .found = std::to_string(tokenizer.vocab_size())});
}

Encoding encode_chat(const RenderedChat& chat, const Tokenizer& tokenizer) {
  return tokenizer.encode_guarded(chat.text, content_spans(chat));
}

}  // namespace gradus
