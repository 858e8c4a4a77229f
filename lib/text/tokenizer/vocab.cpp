// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/vocab.h"

#include "base/error.h"
#include "base/hash.h"

namespace gradus {
namespace {

// Ids beyond this many times the number of tokens are a broken file, not a vocabulary with holes.
constexpr int64_t kIdsPerToken = 8, kFreeIds = 1 << 20;

size_t hash_of(std::string_view text) { return static_cast<size_t>(xxh3(text)); }

}  // namespace

void StringIndex::reserve(size_t count) {
  entries_.reserve(count);
  size_t slots = 16;
  while (slots < count * 2) slots *= 2;
  if (slots > slots_.size()) grow(slots);
}

size_t StringIndex::slot_of(std::string_view wanted) const {
  const size_t mask = slots_.size() - 1;
  for (size_t slot = hash_of(wanted) & mask;; slot = (slot + 1) & mask) {
    if (slots_[slot] == 0 || text(slots_[slot] - 1) == wanted) return slot;
  }
}

void StringIndex::grow(size_t slots) {
  slots_.assign(slots, 0);
  for (size_t entry = 0; entry < entries_.size(); ++entry)
    slots_[slot_of(text(entry))] = static_cast<uint32_t>(entry + 1);
}

bool StringIndex::add(std::string_view added, TokenId id) {
  if ((entries_.size() + 1) * 2 > slots_.size()) grow(std::max<size_t>(16, slots_.size() * 2));
  const size_t slot = slot_of(added);
  if (slots_[slot] != 0) return false;
  entries_.push_back({block_.size(), static_cast<uint32_t>(added.size()), id});
  block_ += added;
  slots_[slot] = static_cast<uint32_t>(entries_.size());
  return true;
}

TokenId StringIndex::find(std::string_view wanted) const {
  if (slots_.empty()) return -1;
  const uint32_t entry = slots_[slot_of(wanted)];
  return entry == 0 ? -1 : entries_[entry - 1].id;
}

Vocab Vocab::read(const Json& object, const std::string& where) {
  if (!object.is_object())
    throw Error({.what = "vocabulary has the wrong type", .where = where, .expected = "an object"});
  Vocab vocab;
  vocab.index_.reserve(object.size());
  const int64_t limit = kIdsPerToken * static_cast<int64_t>(object.size()) + kFreeIds;
  for (const auto& [token, id] : object.items()) {
    const bool fits = id.is_number_integer() && id >= 0 && id < limit;
    if (!fits)
      throw Error({.what = "token '" + printable(token) + "' has no usable id",
                   .where = where,
                   .expected = cat("an integer from 0 to ", limit - 1),
                   .found = printable(id.dump(-1, ' ', false, Json::error_handler_t::replace))});
    vocab.add(token, id.get<TokenId>(), where);
  }
  return vocab;
}

void Vocab::add(std::string_view token, TokenId id, const std::string& where) {
  if (has(id))
    throw Error({.what = cat("id ", id, " belongs to two tokens"),
                 .where = where,
                 .found = cat("'", printable(this->token(id)), "' and '", printable(token), "'")});
  if (!index_.add(token, id))
    throw Error({.what = cat("token '", printable(token), "' has two ids"), .where = where});
  if (id >= end_id()) entry_of_.resize(static_cast<size_t>(id) + 1, 0);
  entry_of_[static_cast<size_t>(id)] = static_cast<uint32_t>(index_.size());
}

bool Vocab::has(TokenId id) const {
  return id >= 0 && id < end_id() && entry_of_[static_cast<size_t>(id)] != 0;
}

std::string_view Vocab::token(TokenId id) const {
  if (!has(id)) return {};
  return index_.text(entry_of_[static_cast<size_t>(id)] - 1);
}

}  // namespace gradus
