// SPDX-License-Identifier: Apache-2.0
// Which bytes of a file are there.
#pragma once

#include <map>
#include <vector>

#include "base/json.h"

namespace gradus {

struct ByteRange {
  int64_t begin = 0, end = 0;  // bytes [begin, end)

  bool operator==(const ByteRange&) const = default;
};

class ByteRanges {
 public:
  void add(ByteRange range);
  void clear() { ranges_.clear(); }

  int64_t count() const;  // of bytes
  // What is missing of [0, total), in pieces of at most `longest` bytes.
  std::vector<ByteRange> missing(int64_t total, int64_t longest) const;

  Json json() const;  // [[begin, end], …]
  // Throws gradus::Error naming `where` for ranges outside of [0, total).
  static ByteRanges from_json(const Json& json, int64_t total, const std::string& where);

 private:
  std::map<int64_t, int64_t> ranges_;  // begin -> end; apart from each other
};

}  // namespace gradus
