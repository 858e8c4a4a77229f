// SPDX-License-Identifier: Apache-2.0
// Reading GGUF v2 and v3 (llama.cpp's model format), in one file or split into several: metadata,
// tensor table and block-quantised data. Every count and size is checked against the file before
// anything is allocated, in checked 64-bit arithmetic, in this one place.
// Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
// Non-goals here: writing (gguf_write.h), big-endian files, and running a GGUF file as it is (it is
// imported to a Hugging Face folder, model/gguf/import.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/json.h"

namespace gradus {

// Numbers as in ggml.h.
enum class GgufType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kIQ4_NL = 20,
  kIQ4_XS = 23,
  kBF16 = 30,
};

// `block_elements` consecutive elements of a row are stored in `block_bytes`.
struct GgufTypeInfo {
  GgufType type;
  const char* name;  // "Q4_K"
  int64_t block_elements;
  int64_t block_bytes;
};

const GgufTypeInfo& gguf_type_info(GgufType type);
std::span<const GgufTypeInfo> gguf_types();
// Types that llama.cpp has for weights and that are not read.
std::vector<std::string> gguf_types_not_read();

struct GgufTensor {
  std::string name;
  GgufType type;
  std::vector<int64_t> shape;  // slowest first, as in PyTorch (the file stores fastest first)
  std::span<const std::byte> bytes;

  int64_t elements() const;
  int64_t row_elements() const { return shape.empty() ? 1 : shape.back(); }
  int64_t rows() const { return elements() / row_elements(); }
};

struct GgufImage {
  Json metadata = Json::object();   // flat, in file order; arrays are JSON arrays
  std::vector<GgufTensor> tensors;  // in file order, views into the image
};

// Parses an image, which must outlive the result; exposed for fuzzing. Throws gradus::Error on
// anything irregular, naming `where` and the key or tensor.
GgufImage parse_gguf(std::span<const std::byte> image, const std::string& where);

// A file, or all parts of a split one, of which `path` is the first
// ("NAME-00001-of-00003.gguf"; keys split.no, split.count, split.tensors.count).
class GgufFile {
 public:
  explicit GgufFile(const fs::path& path);
  const Json& metadata() const { return image_.metadata; }  // of the first part
  const std::vector<GgufTensor>& tensors() const { return image_.tensors; }
  const GgufTensor* find(const std::string& name) const;  // nullptr when absent
  const GgufImage& image() const { return image_; }       // the tensors of all parts
  const fs::path& path() const { return files_.front()->path(); }
  std::vector<fs::path> paths() const;  // of all parts

 private:
  void open_parts(int64_t count);
  void add_part(const fs::path& path, int64_t number, int64_t count);

  std::vector<std::unique_ptr<MappedFile>> files_;
  GgufImage image_;
};

// Expands to fp32 with all cores, bit for bit as llama.cpp's `gguf` package does; out has
// tensor.elements() entries.
void dequantize_gguf(const GgufTensor& tensor, std::span<float> out);
// One row; out has tensor.row_elements() entries.
void dequantize_gguf_row(const GgufTensor& tensor, int64_t row, std::span<float> out);

}  // namespace gradus
