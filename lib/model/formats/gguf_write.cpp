// SPDX-License-Identifier: Apache-2.0
#include "model/formats/gguf_write.h"

#include <stdexcept>
#include <unordered_set>

#include "model/formats/gguf_quantize.h"

namespace gradus {
namespace {

constexpr uint32_t kVersion = 3;
constexpr uint64_t kAlignment = 32;
constexpr size_t kMaxTensorName = 63;

template <class Number>
void put(std::string& out, Number value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void put_text(std::string& out, const std::string& text) {
  put(out, uint64_t{text.size()});
  out += text;
}

// Value types as the format numbers them.
struct ValueWriter {
  std::string& out;

  void operator()(uint32_t value) const { scalar(4, value); }
  void operator()(float value) const { scalar(6, value); }
  void operator()(bool value) const { scalar(7, static_cast<uint8_t>(value)); }
  void operator()(const std::string& value) const {
    put(out, uint32_t{8});
    put_text(out, value);
  }
  void operator()(const std::vector<std::string>& values) const {
    array(8, values.size());
    for (const std::string& value : values) put_text(out, value);
  }
  void operator()(const std::vector<int32_t>& values) const { numbers(5, values); }
  void operator()(const std::vector<float>& values) const { numbers(6, values); }

 private:
  template <class Number>
  void scalar(uint32_t type, Number value) const {
    put(out, type);
    put(out, value);
  }
  void array(uint32_t item, size_t count) const {
    put(out, uint32_t{9});
    put(out, item);
    put(out, uint64_t{count});
  }
  template <class Number>
  void numbers(uint32_t item, const std::vector<Number>& values) const {
    array(item, values.size());
    for (const Number value : values) put(out, value);
  }
};

uint64_t data_bytes(const GgufTensorSource& tensor) {
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < tensor.shape.size(); ++i) rows *= tensor.shape[i];
  return static_cast<uint64_t>(rows * gguf_row_bytes(tensor.type, tensor.shape.back()));
}

uint64_t aligned(uint64_t position) {
  return (position + kAlignment - 1) / kAlignment * kAlignment;
}

void check_name(const GgufTensorSource& tensor, std::unordered_set<std::string>& names) {
  if (tensor.name.empty() || tensor.name.size() > kMaxTensorName || tensor.shape.empty() ||
      !names.insert(tensor.name).second)
    throw std::logic_error("gguf: tensor cannot be written: " + tensor.name);
}

std::string header_of(const GgufMetadata& metadata, const std::vector<GgufTensorSource>& tensors) {
  std::string out = "GGUF";
  put(out, kVersion);
  put(out, uint64_t{tensors.size()});
  put(out, uint64_t{metadata.size()});
  for (const auto& [key, value] : metadata) {
    put_text(out, key);
    std::visit(ValueWriter{out}, value);
  }
  std::unordered_set<std::string> names;
  uint64_t offset = 0;
  for (const GgufTensorSource& tensor : tensors) {
    check_name(tensor, names);
    put_text(out, tensor.name);
    put(out, static_cast<uint32_t>(tensor.shape.size()));
    for (auto size = tensor.shape.rbegin(); size != tensor.shape.rend(); ++size) put(out, *size);
    put(out, static_cast<uint32_t>(tensor.type));
    put(out, offset);
    offset = aligned(offset + data_bytes(tensor));
  }
  out.resize(aligned(out.size()));
  return out;
}

}  // namespace

void write_gguf(const fs::path& path, const GgufMetadata& metadata,
                const std::vector<GgufTensorSource>& tensors) {
  AtomicFile file(path);
  file.write(header_of(metadata, tensors));
  for (const GgufTensorSource& tensor : tensors) {
    const auto bytes = tensor.bytes();
    if (bytes.size() != data_bytes(tensor))
      throw std::logic_error("gguf: wrong number of bytes for " + tensor.name);
    file.write(bytes.data(), bytes.size());
    file.write(std::string(aligned(bytes.size()) - bytes.size(), '\0'));
  }
  file.commit();
}

}  // namespace gradus
