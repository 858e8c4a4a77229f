// SPDX-License-Identifier: Apache-2.0
#include "hub/byte_ranges.h"

#include <algorithm>

#include "base/error.h"

namespace gradus {

void ByteRanges::add(ByteRange range) {
  if (range.begin >= range.end) return;
  auto next = ranges_.upper_bound(range.begin);
  if (next != ranges_.begin() && std::prev(next)->second >= range.begin) --next;
  while (next != ranges_.end() && next->first <= range.end) {
    range.begin = std::min(range.begin, next->first);
    range.end = std::max(range.end, next->second);
    next = ranges_.erase(next);
  }
  ranges_[range.begin] = range.end;
}

int64_t ByteRanges::count() const {
  int64_t bytes = 0;
  for (const auto& [begin, end] : ranges_) bytes += end - begin;
  return bytes;
}

std::vector<ByteRange> ByteRanges::missing(int64_t total, int64_t longest) const {
  std::vector<ByteRange> list;
  const auto cut = [&](int64_t begin, int64_t end) {
    for (; begin < end; begin += longest) list.push_back({begin, std::min(end, begin + longest)});
  };
  int64_t at = 0;
  for (const auto& [begin, end] : ranges_) {
    cut(at, begin);
    at = end;
  }
  cut(at, total);
  return list;
}

Json ByteRanges::json() const {
  Json list = Json::array();
  for (const auto& [begin, end] : ranges_) list.push_back({begin, end});
  return list;
}

ByteRanges ByteRanges::from_json(const Json& json, int64_t total, const std::string& where) {
  ByteRanges ranges;
  const auto refuse = [&] { throw Error({.what = "holds no ranges of bytes", .where = where}); };
  if (!json.is_array()) refuse();
  for (const Json& item : json) {
    if (!item.is_array() || item.size() != 2 || !item[0].is_number_integer() ||
        !item[1].is_number_integer())
      refuse();
    const ByteRange range{item[0].get<int64_t>(), item[1].get<int64_t>()};
    if (range.begin < 0 || range.begin >= range.end || range.end > total) refuse();
    ranges.add(range);
  }
  return ranges;
}

}  // namespace gradus
