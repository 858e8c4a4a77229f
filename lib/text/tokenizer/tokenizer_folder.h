// SPDX-License-Identifier: Apache-2.0
// What the JSON files beside a vocabulary say about it: tokenizer_config.json, with the tokens of
// special_tokens_map.json and added_tokens.json where these count, and config.json. Read as
// transformers' PreTrainedTokenizerBase._from_pretrained reads them.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "base/json.h"

namespace gradus {

inline constexpr std::array<const char*, 7> kSpecialNames = {
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};
// What a tokenizer class uses for each of kSpecialNames where no file says; null: none.
using SpecialDefaults = std::array<const char*, 7>;

struct TokenizerFolder {
  bool has_config = false;             // any of the files but config.json is there
  Json config = Json::object();        // tokenizer_config.json and special_tokens_map.json
  std::string class_name, model_type;  // tokenizer_class without "Fast"; empty where no file says
  std::map<int64_t, Json> listed;      // tokens with an id of their own, as tokenizer.json has them
  std::string where;                   // for errors about `config`

  bool flag(const char* key, bool fallback) const { return json_get(config, key, fallback, where); }
  // The token that `name` stands for; nullopt where the file says null.
  std::optional<std::string> token(const std::string& name, const char* fallback = nullptr) const;
};

// Throws gradus::Error for files of a wrong form; a file that is missing says nothing.
TokenizerFolder read_tokenizer_folder(const fs::path& folder);

// The id that `find_id` gives for a token of the vocabulary, -1 when it has none.
using FindId = std::function<int64_t(const std::string&)>;

// "added_tokens" of a tokenizer.json: the listed tokens, then the special ones. Those that the
// vocabulary does not know get the next free ids, as in `tokenizers`.
Json added_tokens_of(const TokenizerFolder& folder, const SpecialDefaults& defaults,
                     const FindId& find_id, int64_t vocab_size);
// An entry of such a list.
Json added_token_entry(const std::string& content, int64_t id, bool special);
int64_t added_token_id(const Json& added_tokens, const std::string& content);  // -1: absent

// The post-processor that puts BOS and EOS around a text where the files ask for it, else null.
Json ends_post_processor(const TokenizerFolder& folder, const SpecialDefaults& defaults,
                         const Json& added_tokens, bool bos_unless_told);

}  // namespace gradus
