// SPDX-License-Identifier: Apache-2.0
// "truncation" and "padding" of tokenizer.json, as the `tokenizers` package applies them to single
// texts.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "text/tokenizer.h"

namespace gradus {

enum class Side { kLeft, kRight };

struct Truncation {
  size_t max_length = 0, stride = 0;
  Side side = Side::kRight;
  bool second_only = false;

  // Cuts the ids of one text, to which the post-processor will add `added` more. Throws
  // gradus::Error where `tokenizers` fails.
  void apply(std::vector<TokenId>& ids, size_t added) const;
};

struct Padding {
  std::optional<size_t> fixed;  // else the longest of the batch
  size_t multiple_of = 0;       // 0: any length
  TokenId id = 0;
  Side side = Side::kRight;

  void apply(std::vector<std::vector<TokenId>>& rows) const;
};

// nullopt for a member that is missing or null; throws naming `where`.
std::optional<Truncation> read_truncation(const Json& document, const std::string& where);
std::optional<Padding> read_padding(const Json& document, const std::string& where);

}  // namespace gradus
