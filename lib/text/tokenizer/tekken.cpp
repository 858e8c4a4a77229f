// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/tekken.h"

#include <algorithm>

#include "base/error.h"
#include "text/tokenizer/base64.h"
#include "text/tokenizer/byte_ranks.h"
#include "text/tokenizer/component.h"
#include "text/tokenizer/tokenizer_folder.h"

namespace gradus {
namespace {

constexpr int64_t kMaxTokens = 1 << 22;
constexpr size_t kMaxTokenBytes = 1 << 10;
constexpr SpecialDefaults kEnds{"<s>", "</s>", "<unk>", nullptr, "<pad>"};

// By id; ids without a name are spelled as mistral-common spells them.
std::vector<std::string> special_tokens(const Json& tekken, const std::string& where) {
  std::vector<std::string> out;
  const Json& list = json_array(tekken, "special_tokens", where);
  out.resize(list.size());
  for (const Json& token : list) {
    const auto rank = json_get<int64_t>(token, "rank", where + ": special_tokens");
    const bool fits = rank >= 0 && rank < static_cast<int64_t>(out.size()) &&
                      out[static_cast<size_t>(rank)].empty();
    if (!fits)
      throw Error({.what = "special tokens must have the ranks from 0 on, each once",
                   .where = where + ": special_tokens",
                   .found = cat(rank)});
    out[static_cast<size_t>(rank)] = json_get<std::string>(token, "token_str", where);
  }
  const auto count = json_get<int64_t>(tekken.at("config"), "default_num_special_tokens",
                                       static_cast<int64_t>(out.size()), where + ": config");
  if (count < static_cast<int64_t>(out.size()) || count > kMaxTokens)
    throw Error({.what = "default_num_special_tokens is out of range",
                 .where = where + ": config",
                 .found = cat(count)});
  while (static_cast<int64_t>(out.size()) < count) out.push_back(cat("<SPECIAL_", out.size(), ">"));
  return out;
}

std::map<int64_t, std::string> read_ranks(const Json& tekken, int64_t specials,
                                          const std::string& where) {
  const Json& list = json_array(tekken, "vocab", where);
  const auto total = json_get<int64_t>(tekken.at("config"), "default_vocab_size",
                                       static_cast<int64_t>(list.size()) + specials, where);
  const int64_t count = std::min(total - specials, static_cast<int64_t>(list.size()));
  std::map<int64_t, std::string> ranks;
  for (int64_t rank = 0; rank < count; ++rank) {
    const std::string place = cat(where, ": vocab[", rank, "]");
    auto token =
        decode_base64(json_get<std::string>(list[static_cast<size_t>(rank)], "token_bytes", place));
    if (!token || token->empty() || token->size() > kMaxTokenBytes)
      throw Error({.what = "token is not base64, empty or too long", .where = place});
    ranks.emplace(rank, std::move(*token));
  }
  if (ranks.empty()) throw Error({.what = "vocabulary is empty", .where = where});
  return ranks;
}

}  // namespace

Json tokenizer_json_from_tekken(const Json& tekken, const fs::path& file) {
  const std::string where = file.string();
  const auto pattern =
      json_get<std::string>(json_member(tekken, "config", where), "pattern", where);
  const auto specials = special_tokens(tekken, where);
  const auto first = static_cast<int64_t>(specials.size());
  Json out = {{"version", "1.0"}};
  out["pre_tokenizer"] = pattern_then_bytes(pattern);
  out["decoder"] = {{"type", "ByteLevel"}};
  out["model"] = byte_ranks_model(read_ranks(tekken, first, where), first);
  out["added_tokens"] = Json::array();
  auto& vocab = out["model"]["vocab"].get_ref<Json::object_t&>();
  for (size_t id = 0; id < specials.size(); ++id) {
    vocab.emplace_back(specials[id], id);
    out["added_tokens"].push_back(added_token_entry(specials[id], static_cast<int64_t>(id), true));
  }
  out["post_processor"] = ends_post_processor(read_tokenizer_folder(file.parent_path()), kEnds,
                                              out["added_tokens"], false);
  return out;
}

}  // namespace gradus
