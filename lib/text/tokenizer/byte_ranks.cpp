// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/byte_ranks.h"

#include "text/tokenizer/byte_chars.h"
#include "text/tokenizer/vocab.h"

namespace gradus {

Json byte_ranks_model(const std::map<int64_t, std::string>& ranks, int64_t first_id) {
  StringIndex index;
  index.reserve(ranks.size());
  Json vocab = Json::object(), merges = Json::array();
  auto& entries = vocab.get_ref<Json::object_t&>();
  for (const auto& [rank, token] : ranks) {
    index.add(token, static_cast<TokenId>(rank));
    entries.emplace_back(bytes_to_chars(token), rank + first_id);
  }
  for (const auto& [rank, token] : ranks) {
    const std::string_view text = token;
    for (size_t cut = 1; cut < text.size(); ++cut) {
      if (index.find(text.substr(0, cut)) < 0 || index.find(text.substr(cut)) < 0) continue;
      merges.push_back({bytes_to_chars(text.substr(0, cut)), bytes_to_chars(text.substr(cut))});
    }
  }
  return {{"type", "BPE"},
          {"ignore_merges", true},
          {"ranks_by_token", true},
          {"vocab", std::move(vocab)},
          {"merges", std::move(merges)}};
}

Json pattern_then_bytes(const std::string& pattern) {
  return {{"type", "Sequence"},
          {"pretokenizers",
           {{{"type", "Split"},
             {"pattern", {{"Regex", pattern}}},
             {"behavior", "Isolated"},
             {"invert", false}},
            {{"type", "ByteLevel"},
             {"add_prefix_space", false},
             {"trim_offsets", true},
             {"use_regex", false}}}}};
}

}  // namespace gradus
