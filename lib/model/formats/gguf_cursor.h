// SPDX-License-Identifier: Apache-2.0
// The bytes of a GGUF image, front to back; each read is checked against what is left.
#pragma once

#include <algorithm>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/json.h"

namespace gradus {

class GgufCursor {
 public:
  GgufCursor(std::span<const std::byte> image, const std::string& where)
      : image_(image), where_(where) {}

  size_t position() const { return position_; }
  size_t left() const { return image_.size() - position_; }
  // What is being read, for errors.
  void enter(std::string part) { part_ = std::move(part); }
  std::string place() const { return part_.empty() ? where_ : where_ + ": " + part_; }

  [[noreturn]] void fail(std::string what, std::string expected = {},
                         std::string found = {}) const {
    throw Error({.what = std::move(what),
                 .where = place(),
                 .expected = std::move(expected),
                 .found = std::move(found)});
  }

  std::span<const std::byte> take(uint64_t bytes) {
    if (bytes > left())
      fail("the file is truncated or corrupt", cat("at least ", bytes, " more bytes"),
           cat(left(), " of ", image_.size()));
    const auto taken = image_.subspan(position_, bytes);
    position_ += bytes;
    return taken;
  }

  template <class T>
  T read() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }

  // A count of things that take at least `least_bytes` each.
  uint64_t count(const char* of, uint64_t least_bytes, uint64_t most) {
    const auto number = read<uint64_t>();
    const uint64_t bound = std::min<uint64_t>(most, left() / least_bytes);
    if (number > bound) fail(cat("impossible number of ", of), cat("at most ", bound), cat(number));
    return number;
  }

  std::string_view text(const char* of, uint64_t most) {
    const uint64_t length = count(of, 1, most);
    const auto bytes = take(length);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

 private:
  std::span<const std::byte> image_;
  const std::string& where_;
  std::string part_;
  size_t position_ = 0;
};

// The `count` key-value pairs at the cursor as a flat object; arrays hold at most 10 million
// elements in all.
Json read_gguf_metadata(GgufCursor& cursor, uint64_t count);

}  // namespace gradus
