// SPDX-License-Identifier: Apache-2.0
// Composes GGUF images byte by byte, right or wrong, for the tests.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "model/formats/gguf.h"

namespace gradus {

class GgufBuilder {
 public:
  uint32_t version = 3;
  std::string magic = "GGUF";
  uint64_t extra_tensors = 0, extra_keys = 0;  // claimed beyond those added
  uint64_t alignment = 32;

  static std::string number(auto value) {
    return std::string(reinterpret_cast<const char*>(&value), sizeof value);
  }
  static std::string text(const std::string& value) {
    return number(uint64_t{value.size()}) + value;
  }

  // `value` holds the bytes after the type.
  GgufBuilder& key(const std::string& name, uint32_t type, const std::string& value) {
    keys_.push_back(text(name) + number(type) + value);
    return *this;
  }
  GgufBuilder& key(const std::string& name, const std::string& value) {
    return key(name, 8, text(value));
  }
  GgufBuilder& key(const std::string& name, uint32_t value) { return key(name, 4, number(value)); }
  GgufBuilder& key(const std::string& name, float value) { return key(name, 6, number(value)); }
  GgufBuilder& array(const std::string& name, uint32_t type, uint64_t count,
                     const std::string& items) {
    return key(name, 9, number(type) + number(count) + items);
  }

  // `sizes` fastest first, as the file has them.
  GgufBuilder& tensor(const std::string& name, const std::vector<uint64_t>& sizes, uint32_t type,
                      uint64_t offset) {
    std::string entry = text(name) + number(static_cast<uint32_t>(sizes.size()));
    for (const uint64_t size : sizes) entry += number(size);
    tensors_.push_back(entry + number(type) + number(offset));
    return *this;
  }
  GgufBuilder& data(const std::string& bytes) {
    data_ += bytes;
    return *this;
  }
  // A tensor with its data at the next aligned place.
  GgufBuilder& stored(const std::string& name, const std::vector<uint64_t>& sizes, uint32_t type,
                      const std::string& bytes) {
    data_.resize((data_.size() + alignment - 1) / alignment * alignment);
    tensor(name, sizes, type, data_.size());
    return data(bytes);
  }

  std::string build() const {
    std::string image = magic + number(version) + number(tensors_.size() + extra_tensors) +
                        number(keys_.size() + extra_keys);
    for (const auto& key : keys_) image += key;
    for (const auto& tensor : tensors_) image += tensor;
    if (!tensors_.empty()) image.resize((image.size() + alignment - 1) / alignment * alignment);
    return image + data_;
  }

 private:
  std::vector<std::string> keys_, tensors_;
  std::string data_;
};

}  // namespace gradus
