// SPDX-License-Identifier: Apache-2.0
// The tensors and the configuration of anything that holds a model: a Hugging Face folder (plain or
// quantised), an adapter folder, a GGUF file. Mapped, not loaded; nothing is computed.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "model/config.h"
#include "model/formats/gguf.h"

namespace gradus {

enum class ContentsKind { kModel, kAdapter, kGguf };

struct ContentTensor {
  std::string name, dtype;  // dtype as in the file: "BF16", "Q4_K"
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;
  const GgufTensor* gguf = nullptr;

  int64_t elements() const;
  int64_t row_elements() const { return shape.empty() ? 1 : shape.back(); }
};

// Tensors view into files that live as long as `files` does.
struct ModelContents {
  ContentsKind kind = ContentsKind::kModel;
  fs::path path;
  Json config;                         // config.json, or adapter_config.json; null for GGUF
  Json metadata;                       // of a GGUF file, else null
  std::vector<ContentTensor> tensors;  // by name
  std::shared_ptr<void> files;

  const ContentTensor* find(const std::string& name) const;
};

// Throws gradus::Error for what cannot be read, and when `path` is none of these.
ModelContents open_contents(const fs::path& path);

// The configuration of a model folder; nothing where the model's code refuses it, and of the
// others.
std::optional<ModelConfig> model_config_of(const ModelContents& contents);

// Whether expand_rows() can read a dtype as numbers.
bool is_numeric(const ContentTensor& tensor);
// `out` gets rows [first, first + out.size() / row_elements()) as fp32.
void expand_rows(const ContentTensor& tensor, int64_t first, std::span<float> out);

}  // namespace gradus
