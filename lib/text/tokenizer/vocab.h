// SPDX-License-Identifier: Apache-2.0
// Tokens and their ids, both ways. Lookups are what encoding spends its time on, hence a table of
// our own with open addressing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/tokenizer.h"

namespace gradus {

// String to id; the strings lie in one block.
class StringIndex {
 public:
  void reserve(size_t count);
  // False when the string is there already.
  bool add(std::string_view text, TokenId id);
  TokenId find(std::string_view text) const;  // -1 when absent
  size_t size() const { return entries_.size(); }
  std::string_view text(size_t entry) const {
    return {block_.data() + entries_[entry].offset, entries_[entry].bytes};
  }
  TokenId id(size_t entry) const { return entries_[entry].id; }

 private:
  struct Entry {
    size_t offset;
    uint32_t bytes;
    TokenId id;
  };
  void grow(size_t slots);
  size_t slot_of(std::string_view text) const;

  std::string block_;
  std::vector<Entry> entries_;
  std::vector<uint32_t> slots_;  // entry + 1; 0 is free
};

class Vocab {
 public:
  // From {"token": id}. Throws for ids that are negative, repeated or far beyond the count.
  static Vocab read(const Json& object, const std::string& where);

  // Throws gradus::Error naming `where` for a repeated token or id.
  void add(std::string_view token, TokenId id, const std::string& where);
  TokenId find(std::string_view token) const { return index_.find(token); }
  // The token, or "" where no token has this id.
  std::string_view token(TokenId id) const;
  bool has(TokenId id) const;
  size_t size() const { return index_.size(); }
  TokenId end_id() const { return static_cast<TokenId>(entry_of_.size()); }  // largest id + 1

 private:
  StringIndex index_;
  std::vector<uint32_t> entry_of_;  // by id; entry + 1, 0 where there is none
};

}  // namespace gradus
