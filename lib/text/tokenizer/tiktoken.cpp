// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/tiktoken.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <vector>

#include "base/error.h"
#include "text/tokenizer/base64.h"
#include "text/tokenizer/byte_ranks.h"
#include "text/tokenizer/word_scanner.h"

namespace gradus {
namespace {

constexpr size_t kMaxFileBytes = 64 << 20, kMaxTokens = 1 << 20, kMaxTokenBytes = 1 << 10;

struct Special {
  std::string text;
  int64_t id;
};

// What a model adds to its file.
struct Known {
  std::string_view name;  // a file name, a tokenizer class or a model type
  const char* pattern;
  bool nfc = false;
  std::vector<Special> (*specials)(int64_t first) = nullptr;  // else from tokenizer_config.json
  std::vector<std::string_view> before = {};                  // put before every text
};

std::vector<Special> in_order(std::initializer_list<std::string_view> texts, int64_t first) {
  std::vector<Special> out;
  for (const std::string_view text : texts) out.push_back({std::string(text), first++});
  return out;
}

// github.com/QwenLM/Qwen, tokenization_qwen.py.
std::vector<Special> qwen_specials(int64_t first) {
  auto out = in_order({"<|endoftext|>", "<|im_start|>", "<|im_end|>"}, first);
  for (int i = 0; i < 205; ++i)
    out.push_back({cat("<|extra_", i, "|>"), first + static_cast<int64_t>(out.size())});
  return out;
}

// github.com/meta-llama/llama3, llama/tokenizer.py.
std::vector<Special> llama3_specials(int64_t first) {
  auto out = in_order({"<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>",
                       "<|reserved_special_token_1|>", "<|reserved_special_token_2|>",
                       "<|reserved_special_token_3|>", "<|start_header_id|>", "<|end_header_id|>",
                       "<|reserved_special_token_4|>", "<|eot_id|>"},
                      first);
  for (int i = 5; i < 251; ++i)
    out.push_back(
        {cat("<|reserved_special_token_", i, "|>"), first + static_cast<int64_t>(out.size())});
  return out;
}

// github.com/openai/tiktoken, tiktoken_ext/openai_public.py. Ids have gaps.
std::vector<Special> cl100k_specials(int64_t) {
  return {{"<|endoftext|>", 100257},
          {"<|fim_prefix|>", 100258},
          {"<|fim_middle|>", 100259},
          {"<|fim_suffix|>", 100260},
          {"<|endofprompt|>", 100276}};
}
std::vector<Special> o200k_specials(int64_t) {
  return {{"<|endoftext|>", 199999}, {"<|endofprompt|>", 200018}};
}
std::vector<Special> r50k_specials(int64_t) { return {{"<|endoftext|>", 50256}}; }

const std::vector<Known>& known_models() {
  static const std::vector<Known> kModels = {
      {"qwen.tiktoken", kQwen2Pattern, true, qwen_specials},
      {"QWenTokenizer", kQwen2Pattern, true, qwen_specials},
      {"qwen", kQwen2Pattern, true, qwen_specials},
      {"ChatGLM4Tokenizer", kLlama3Pattern, false, nullptr, {"[gMASK]", "<sop>"}},
      {"chatglm", kLlama3Pattern, false, nullptr, {"[gMASK]", "<sop>"}},
      {"glm4", kLlama3Pattern, false, nullptr, {"[gMASK]", "<sop>"}},
      {"llama", kLlama3Pattern, false, llama3_specials, {"<|begin_of_text|>"}},
      {"cl100k_base.tiktoken", kCl100kPattern, false, cl100k_specials},
      {"o200k_base.tiktoken", kGpt4oPattern, false, o200k_specials},
      {"r50k_base.tiktoken", kGpt2Pattern, false, r50k_specials},
  };
  return kModels;
}

Json read_if_there(const fs::path& file) {
  return fs::exists(file) ? read_json(file) : Json::object();
}

const Known& known_model(const fs::path& file, const Json& config) {
  const std::string model_type =
      json_get<std::string>(read_if_there(file.parent_path() / "config.json"), "model_type",
                            std::string(), "config.json");
  const std::string names[] = {
      file.filename().string(),
      json_get<std::string>(config, "tokenizer_class", std::string(), "tokenizer_config.json"),
      model_type};
  std::string list;
  for (const std::string& name : names) {
    for (const Known& known : known_models()) {
      if (known.name == name) return known;
    }
  }
  for (const Known& known : known_models()) list += cat(list.empty() ? "" : ", ", known.name);
  throw Error({.what = "nothing says which model this tiktoken vocabulary belongs to",
               .where = file.string(),
               .expected = "a file name, tokenizer_class or model_type of: " + list,
               .found = cat("'", printable(names[0]), "', '", printable(names[1]), "', '",
                            printable(names[2]), "'")});
}

// Tokens by rank.
std::map<int64_t, std::string> read_ranks(std::string_view text, const std::string& where) {
  std::map<int64_t, std::string> ranks;
  size_t number = 0;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    ++number;
    const size_t space = line.find(' ');
    if (line.find_first_not_of(" \r") == std::string_view::npos) continue;
    const std::string_view end = line.substr(std::min(line.size(), space + 1));
    int64_t rank = -1;
    const auto parsed = std::from_chars(end.data(), end.data() + end.size(), rank);
    const auto token =
        space == std::string_view::npos ? std::nullopt : decode_base64(line.substr(0, space));
    const bool good = token && !token->empty() && token->size() <= kMaxTokenBytes &&
                      parsed.ec == std::errc() && rank >= 0 &&
                      rank < static_cast<int64_t>(kMaxTokens) && ranks.emplace(rank, *token).second;
    if (!good)
      throw Error({.what = "line is not a token in base64 and a rank of its own",
                   .where = cat(where, ":", number),
                   .found = printable(line, 60)});
  }
  if (ranks.empty()) throw Error({.what = "vocabulary is empty", .where = where});
  return ranks;
}

// "added_tokens_decoder": {"151329": {"content": …, …}, …}.
Json added_tokens(const Known& known, const Json& config, int64_t first) {
  Json out = Json::array();
  const auto add = [&](const std::string& text, int64_t id) {
    out.push_back({{"id", id},
                   {"content", text},
                   {"single_word", false},
                   {"lstrip", false},
                   {"rstrip", false},
                   {"normalized", false},
                   {"special", true}});
  };
  if (known.specials) {
    for (const Special& special : known.specials(first)) add(special.text, special.id);
    return out;
  }
  const Json listed =
      json_get<Json>(config, "added_tokens_decoder", Json::object(), "tokenizer_config.json");
  std::map<int64_t, std::string> sorted;
  for (const auto& [key, token] : listed.items()) {
    int64_t id = -1;
    const auto parsed = std::from_chars(key.data(), key.data() + key.size(), id);
    if (parsed.ec != std::errc() || id < 0 || id > INT32_MAX / 2)
      throw Error({.what = "token id is not a number",
                   .where = "tokenizer_config.json: added_tokens_decoder",
                   .found = printable(key)});
    sorted[id] = json_get<std::string>(token, "content", "added_tokens_decoder." + key);
  }
  for (const auto& [id, text] : sorted) add(text, id);
  return out;
}

Json post_processor(const Known& known, const Json& added) {
  Json single = Json::array(), special = Json::object();
  for (const std::string_view name : known.before) {
    for (const Json& token : added) {
      if (token.at("content") != name) continue;
      single.push_back({{"SpecialToken", {{"id", name}, {"type_id", 0}}}});
      special[std::string(name)] = {{"ids", {token.at("id")}}};
    }
  }
  single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
  return {{"type", "TemplateProcessing"}, {"single", single}, {"special_tokens", special}};
}

}  // namespace

bool looks_like_tiktoken(std::string_view head) {
  const std::string_view line = head.substr(0, head.find('\n'));
  const size_t space = line.find(' ');
  if (space == std::string_view::npos || space == 0 || !decode_base64(line.substr(0, space)))
    return false;
  return line.find_first_not_of("0123456789\r", space + 1) == std::string_view::npos;
}

std::unique_ptr<Tokenizer> tokenizer_from_tiktoken(std::string_view text, const fs::path& file) {
  if (text.size() > kMaxFileBytes)
    throw Error({.what = "tiktoken vocabulary is too large", .where = file.string()});
  const Json config = read_if_there(file.parent_path() / "tokenizer_config.json");
  const Known& known = known_model(file, config);
  const auto ranks = read_ranks(text, file.string());
  const Json added = added_tokens(known, config, ranks.rbegin()->first + 1);
  Json document = {{"version", "1.0"}};
  if (known.nfc) document["normalizer"] = {{"type", "NFC"}};
  document["pre_tokenizer"] = pattern_then_bytes(known.pattern);
  document["post_processor"] = post_processor(known, added);
  document["decoder"] = {{"type", "ByteLevel"}};
  document["model"] = byte_ranks_model(ranks, 0);
  // In the vocabulary, special tokens keep their ids even where these leave gaps.
  auto& vocab = document["model"]["vocab"].get_ref<Json::object_t&>();
  for (const Json& token : added)
    vocab.emplace_back(token.at("content").get<std::string>(), token.at("id"));
  document["added_tokens"] = added;
  return tokenizer_from_json(document, file.string());
}

}  // namespace gradus
