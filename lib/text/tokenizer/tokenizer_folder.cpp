// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/tokenizer_folder.h"

#include <algorithm>
#include <charconv>
#include <unordered_set>

#include "base/error.h"

namespace gradus {
namespace {

constexpr size_t kMaxListed = 1 << 18;

Json read_object(const fs::path& file) {
  if (!fs::exists(file)) return Json::object();
  Json json = read_json(file);
  if (!json.is_object()) throw Error({.what = "is not a JSON object", .where = file.string()});
  return json;
}

// "<s>" or {"content": "<s>", "lstrip": …}.
std::optional<Json> entry_of(const Json& value, bool special, const std::string& where) {
  if (value.is_null()) return std::nullopt;
  if (value.is_string()) return added_token_entry(value.get<std::string>(), 0, special);
  const auto content = json_get<std::string>(value, "content", where);
  Json entry = added_token_entry(content, 0, json_get<bool>(value, "special", special, where));
  for (const char* flag : {"single_word", "lstrip", "rstrip"})
    entry[flag] = json_get<bool>(value, flag, false, where);
  entry["normalized"] = json_get<bool>(value, "normalized", !entry["special"].get<bool>(), where);
  return entry;
}

int64_t parse_id(const std::string& text, const std::string& where) {
  int64_t id = -1;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), id);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size() || id < 0 ||
      id > INT32_MAX / 2)
    throw Error(
        {.what = "token id is not a usable number", .where = where, .found = printable(text)});
  return id;
}

// Tokens without a name of their own: a list, or names of the model's with their tokens.
std::vector<Json> extra_tokens(const TokenizerFolder& folder) {
  std::vector<Json> out;
  for (const char* key : {"additional_special_tokens", "extra_special_tokens"}) {
    if (!folder.config.contains(key)) continue;
    for (const Json& value : folder.config.at(key)) {
      if (auto entry = entry_of(value, true, folder.where + ": " + key))
        out.push_back(std::move(*entry));
    }
  }
  return out;
}

std::vector<Json> special_tokens(const TokenizerFolder& folder, const SpecialDefaults& defaults) {
  std::vector<Json> out;
  for (size_t i = 0; i < kSpecialNames.size(); ++i) {
    const char* name = kSpecialNames[i];
    if (!folder.config.contains(name)) {
      if (defaults[i]) out.push_back(added_token_entry(defaults[i], 0, true));
    } else if (auto entry = entry_of(folder.config.at(name), true, folder.where + ": " + name)) {
      (*entry)["special"] = true;
      out.push_back(std::move(*entry));
    }
  }
  for (Json& entry : extra_tokens(folder)) out.push_back(std::move(entry));
  return out;
}

void read_listed(TokenizerFolder& folder, const Json& decoder) {
  if (!decoder.is_object() || decoder.size() > kMaxListed)
    json_wrong_type(decoder, "added_tokens_decoder", "an object of tokens by id", folder.where);
  for (const auto& [key, value] : decoder.items()) {
    const std::string where = folder.where + ": added_tokens_decoder." + printable(key);
    if (auto entry = entry_of(value, false, where))
      folder.listed[parse_id(key, where)] = std::move(*entry);
  }
}

// added_tokens.json: {"<|im_start|>": 151644, …}, from before the ids stood in the configuration.
void read_added_file(TokenizerFolder& folder, const fs::path& file) {
  const Json added = read_object(file);
  const auto named = special_tokens(folder, {});
  for (const auto& item : added.items()) {
    const std::string& content = item.key();
    const Json& id = item.value();
    if (!id.is_number_integer() || id < 0 || id > INT32_MAX / 2)
      throw Error(
          {.what = "token '" + printable(content) + "' has no usable id", .where = file.string()});
    const bool special = std::any_of(named.begin(), named.end(), [&](const Json& token) {
      return token.at("content") == content;
    });
    folder.listed[id.get<int64_t>()] = added_token_entry(content, 0, special);
  }
}

}  // namespace

Json added_token_entry(const std::string& content, int64_t id, bool special) {
  return {{"id", id},        {"content", content},     {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", !special}, {"special", special}};
}

std::optional<std::string> TokenizerFolder::token(const std::string& name,
                                                  const char* fallback) const {
  if (!config.contains(name)) return fallback ? std::optional<std::string>(fallback) : std::nullopt;
  const auto entry = entry_of(config.at(name), true, where + ": " + name);
  return entry ? std::optional(entry->at("content").get<std::string>()) : std::nullopt;
}

TokenizerFolder read_tokenizer_folder(const fs::path& folder) {
  TokenizerFolder out;
  const fs::path config = folder / "tokenizer_config.json",
                 map = folder / "special_tokens_map.json", added = folder / "added_tokens.json";
  out.has_config = fs::exists(config) || fs::exists(map) || fs::exists(added);
  out.where = config.string();
  out.config = read_object(config);
  if (out.config.contains("added_tokens_decoder")) {
    read_listed(out, out.config.at("added_tokens_decoder"));
  } else {
    const Json tokens = read_object(map);
    for (const auto& [key, value] : tokens.items()) out.config[key] = value;
    read_added_file(out, added);
  }
  out.class_name = json_get<std::string>(out.config, "tokenizer_class", std::string(), out.where);
  if (out.class_name.ends_with("Fast")) out.class_name.resize(out.class_name.size() - 4);
  out.model_type = json_get<std::string>(read_object(folder / "config.json"), "model_type",
                                         std::string(), (folder / "config.json").string());
  return out;
}

Json added_tokens_of(const TokenizerFolder& folder, const SpecialDefaults& defaults,
                     const FindId& find_id, int64_t vocab_size) {
  Json out = Json::array();
  std::unordered_set<std::string> seen;
  int64_t next = vocab_size;
  const auto add = [&](Json entry) {
    const auto content = entry.at("content").get<std::string>();
    if (content.empty() || !seen.insert(content).second) return;
    const int64_t known = find_id(content);
    entry["id"] = known >= 0 ? known : next++;
    out.push_back(std::move(entry));
  };
  for (const auto& [id, entry] : folder.listed) add(entry);
  for (Json& entry : special_tokens(folder, defaults)) add(std::move(entry));
  return out;
}

int64_t added_token_id(const Json& added_tokens, const std::string& content) {
  for (const Json& token : added_tokens) {
    if (token.at("content").get_ref<const std::string&>() == content)
      return token.at("id").get<int64_t>();
  }
  return -1;
}

Json ends_post_processor(const TokenizerFolder& folder, const SpecialDefaults& defaults,
                         const Json& added_tokens, bool bos_unless_told) {
  Json single = Json::array(), special = Json::object();
  const auto put = [&](size_t name, const char* key, bool fallback) {
    const auto token = folder.token(kSpecialNames[name], defaults[name]);
    const int64_t id = token ? added_token_id(added_tokens, *token) : -1;
    if (!folder.flag(key, fallback) || id < 0) return;
    single.push_back({{"SpecialToken", {{"id", *token}, {"type_id", 0}}}});
    special[*token] = {{"ids", {id}}};
  };
  put(0, "add_bos_token", bos_unless_told);
  single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
  put(1, "add_eos_token", false);
  if (special.empty()) return nullptr;
  return {{"type", "TemplateProcessing"}, {"single", single}, {"special_tokens", special}};
}

}  // namespace gradus
