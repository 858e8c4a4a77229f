// SPDX-License-Identifier: Apache-2.0
// The character map of a SentencePiece model ("Precompiled" in tokenizer.json), applied as the
// `tokenizers` package does: to grapheme clusters below six bytes, else to characters. The first,
// shortest entry of the map that a cluster starts with replaces all of it.
// Source: the spm_precompiled crate; darts-clone for the trie.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gradus {

class CharacterMap {
 public:
  // Throws gradus::Error naming `where` for a blob that is not a character map.
  CharacterMap(std::string_view blob, const std::string& where);
  std::optional<std::string_view> find(std::string_view text) const;

 private:
  uint32_t unit(size_t at) const { return at < units_.size() ? units_[at] : 0; }

  std::vector<uint32_t> units_;
  std::string texts_;  // each ended by a zero byte
};

// The end of the extended grapheme cluster that starts at text[at] (UAX 29).
size_t grapheme_end(std::string_view text, size_t at);

}  // namespace gradus
