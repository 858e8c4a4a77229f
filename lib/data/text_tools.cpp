// SPDX-License-Identifier: Apache-2.0
#include "data/text_tools.h"

#include <algorithm>

#include "base/error.h"
#include "base/hash.h"

namespace gradus {
namespace {

constexpr const char* kTokenizerConfig = "tokenizer_config.json";

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
  for (const char* file : {kTokenizerConfig, "special_tokens_map.json"}) {
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

// What tokenizer_config.json says of tokens; nothing where tokenizer.json says all of it.
std::optional<FileDigest> token_settings(const fs::path& folder) {
  if (fs::exists(folder / "tokenizer.json")) return std::nullopt;
  Json config = read_if_there(folder / kTokenizerConfig);
  if (!config.is_object()) return std::nullopt;
  config.erase("chat_template");
  return FileDigest{kTokenizerConfig, sha256_hex(config.dump())};
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
  std::vector<FileDigest> found;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(model_folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (is_tokenizer_file(name) && name != kTokenizerConfig && entry.is_regular_file())
      found.push_back({name, cache.file(entry.path())});
  }
  if (found.empty()) return "";
  if (const auto settings = token_settings(model_folder)) found.push_back(*settings);
  return list_digest(found);
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
