// SPDX-License-Identifier: Apache-2.0
// Reading GGUF v2 and v3 (llama.cpp's model format): metadata, tensor table and block-quantised
// data. Every count and size is checked against the file before anything is allocated.
// Non-goals here: writing, and running a GGUF file as it is (it is imported to a Hugging Face folder).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/files.h"
#include "base/json.h"

namespace gradus {

enum class GgufType : uint32_t {
  kF32 = 0, kF16 = 1, kQ4_0 = 2, kQ4_1 = 3, kQ5_0 = 6, kQ5_1 = 7, kQ8_0 = 8,
  kQ2_K = 10, kQ3_K = 11, kQ4_K = 12, kQ5_K = 13, kQ6_K = 14, kBF16 = 30,
};

struct GgufTensor {
  std::string name;
  GgufType type;
  std::vector<int64_t> shape;  // slowest first, as in PyTorch (the file stores fastest first)
  std::span<const std::byte> bytes;
  int64_t elements() const;
};

class GgufFile {
 public:
  explicit GgufFile(const fs::path& path);
  // Metadata by key; arrays become JSON arrays. Throws naming the key when absent.
  const Json& metadata() const { return metadata_; }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  const fs::path& path() const { return file_->path(); }

 private:
  std::unique_ptr<MappedFile> file_;
  Json metadata_;
  std::vector<GgufTensor> tensors_;
};

// Parses an image; exposed for fuzzing.
void parse_gguf(std::span<const std::byte> image, const std::string& where, Json* metadata,
                std::vector<GgufTensor>* tensors);

// Expands to fp32; out has tensor.elements() entries.
void dequantize_gguf(const GgufTensor& tensor, std::span<float> out);

// Writes `gguf` as a Hugging Face folder: config.json, model.safetensors (in `dtype`: "F32", "BF16"
// or "F16"), tokenizer.json, tokenizer_config.json, chat_template.jinja, generation_config.json.
// Architectures: llama, mistral (as llama), qwen2, qwen3. q_proj/k_proj rows are un-permuted for
// llama. The folder must not exist.
void import_gguf(const fs::path& gguf, const fs::path& folder, const std::string& dtype);

}  // namespace gradus
