// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/batch_rules.h"

#include <algorithm>

#include "base/error.h"
#include "text/tokenizer/component.h"

namespace gradus {
namespace {

constexpr int64_t kMaxLength = int64_t{1} << 24;

size_t read_size(const Json& object, const char* key, int64_t fallback, const std::string& where) {
  const int64_t value = fallback < 0 ? json_get<int64_t>(object, key, where)
                                     : json_get<int64_t>(object, key, fallback, where);
  if (value < 0 || value > kMaxLength)
    json_wrong_type(object.at(key), key, "from 0 to 16777216", where);
  return static_cast<size_t>(value);
}

Side read_side(const Json& object, const std::string& where) {
  static const Component<Side> kSides[] = {{"Left", Side::kLeft}, {"Right", Side::kRight}};
  return find_component(kSides, json_get<std::string>(object, "direction", "Right", where),
                        where + ".direction");
}

const Json* section(const Json& document, const char* key) {
  if (!document.contains(key) || document.at(key).is_null()) return nullptr;
  return &document.at(key);
}

}  // namespace

void Truncation::apply(std::vector<TokenId>& ids, size_t added) const {
  if (added > max_length)
    throw Error({.what = "truncation leaves no room for the special tokens",
                 .expected = cat("max_length of at least ", added),
                 .found = cat(max_length)});
  const size_t room = max_length - added;
  if (room == 0) return ids.clear();
  if (ids.size() <= room) return;
  if (second_only) throw Error("truncation strategy OnlySecond cannot cut a single text");
  if (stride >= room)
    throw Error({.what = "truncation stride is not smaller than the length that is left",
                 .expected = cat("less than ", room),
                 .found = cat(stride)});
  const auto cut = static_cast<std::ptrdiff_t>(ids.size() - room);
  if (side == Side::kRight)
    ids.erase(ids.end() - cut, ids.end());
  else
    ids.erase(ids.begin(), ids.begin() + cut);
}

void Padding::apply(std::vector<std::vector<TokenId>>& rows) const {
  size_t length = fixed.value_or(0);
  if (!fixed) {
    for (const auto& row : rows) length = std::max(length, row.size());
  }
  if (multiple_of > 0) length = (length + multiple_of - 1) / multiple_of * multiple_of;
  for (auto& row : rows) {
    if (row.size() >= length) continue;
    row.insert(side == Side::kRight ? row.end() : row.begin(), length - row.size(), id);
  }
}

std::optional<Truncation> read_truncation(const Json& document, const std::string& where) {
  const Json* object = section(document, "truncation");
  if (!object) return std::nullopt;
  const std::string place = where + ": truncation";
  static const Component<bool> kStrategies[] = {
      {"LongestFirst", false}, {"OnlyFirst", false}, {"OnlySecond", true}};
  return Truncation{
      .max_length = read_size(*object, "max_length", -1, place),
      .stride = read_size(*object, "stride", -1, place),
      .side = read_side(*object, place),
      .second_only = find_component(kStrategies, json_get<std::string>(*object, "strategy", place),
                                    place + ".strategy")};
}

std::optional<Padding> read_padding(const Json& document, const std::string& where) {
  const Json* object = section(document, "padding");
  if (!object) return std::nullopt;
  const std::string place = where + ": padding";
  Padding padding{.fixed = {},
                  .multiple_of = 0,
                  .id = static_cast<TokenId>(read_size(*object, "pad_id", -1, place)),
                  .side = read_side(*object, place)};
  const Json& strategy = json_member(*object, "strategy", place);
  if (strategy.is_object())
    padding.fixed = read_size(strategy, "Fixed", -1, place + ".strategy");
  else if (strategy != "BatchLongest")
    json_wrong_type(strategy, "strategy", "\"BatchLongest\" or {\"Fixed\": n}", place);
  if (section(*object, "pad_to_multiple_of"))
    padding.multiple_of = read_size(*object, "pad_to_multiple_of", -1, place);
  return padding;
}

}  // namespace gradus
