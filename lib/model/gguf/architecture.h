// SPDX-License-Identifier: Apache-2.0
// The table of GGUF architectures: what llama.cpp calls each family, its keys and its rows.
// Files are read and written by the same rows.
// Source: llama.cpp's conversion scripts, src/models and the constants of its `gguf` package.
#pragma once

#include <span>
#include <string>

#include "base/json.h"
#include "model/config.h"
#include "model/formats/gguf.h"
#include "model/formats/gguf_keys.h"

namespace gradus {

// What a GGUF file says, with keys relative to its architecture.
class GgufSource {
 public:
  // Both must outlive this.
  GgufSource(const GgufImage& image, const std::string& where)
      : image_(image), keys_(image.metadata, where) {}

  const GgufImage& image() const { return image_; }
  const GgufKeys& keys() const { return keys_; }
  const GgufTensor* find(std::string_view name) const;  // nullptr when absent
  bool has_tensor(std::string_view name) const { return find(name) != nullptr; }

 private:
  const GgufImage& image_;
  GgufKeys keys_;
};

// The rows of q and k: as they are, or with the two halves of each head interleaved for llama.cpp's
// rotary embedding.
enum class QkRows { kAsIs, kInterleaved };
// Whether files hold q, k and v in one tensor.
enum class GgufQkv { kSplit, kFused };
// What the layers are.
enum class GgufLayers { kAttention, kRwkv7 };
// Whether llama.cpp takes the embedding as the output projection: where a file has no other, always
// or never.
enum class GgufOutput { kAsFile, kTied, kOwn };
// Whether llama.cpp takes heads of any width, or lets them share the model's width among them.
enum class GgufHeads { kAnyWidth, kShareWidth };

// A key of the file and the field of config.json that stands for it.
struct GgufKeyRow {
  enum Kind {
    kSize,            // an integer above 0, always there
    kOptionalSize,    // left out when 0
    kNumber,          // a number above 0, always there
    kOptionalNumber,  // left out when 0
    kFlag,
  };
  const char* gguf;
  const char* hf;  // nullptr: config.json has no such field
  Kind kind;
  double (*value)(const ModelConfig& config);
};

// What a family calls a usual field of config.json; nullptr: it has none.
struct GgufRename {
  const char* hf;
  const char* name;
};

struct GgufArchitecture {
  const char* name;        // general.architecture
  const char* model_type;  // of config.json
  const char* model_class;
  const char* constants;  // further fields of config.json, as JSON
  QkRows qk_rows = QkRows::kAsIs;
  GgufQkv qkv = GgufQkv::kSplit;
  std::span<const GgufRename> renames = {};
  std::span<const GgufKeyRow> keys = {};
  // Which of several families with this name a file is of; nullptr: this one.
  bool (*applies)(const GgufSource& source) = nullptr;
  // Fields of config.json that no row can say.
  void (*complete)(const GgufSource& source, Json& config) = nullptr;
  // Whether llama.cpp heeds sliding windows; where not, the key is for other readers.
  bool windows = false;
  GgufLayers layers = GgufLayers::kAttention;
  GgufOutput output = GgufOutput::kAsFile;
  GgufHeads heads = GgufHeads::kAnyWidth;
};

std::span<const GgufArchitecture> gguf_architectures();
// The keys of all architectures with such layers.
std::span<const GgufKeyRow> gguf_usual_keys(GgufLayers layers);

// Throw naming `where` and the known ones.
const GgufArchitecture& gguf_architecture_of(const GgufSource& source);
const GgufArchitecture& gguf_architecture_of(const ModelConfig& config, const std::string& where);

// The field of config.json for a row; nullptr when the family has none.
const char* gguf_field_name(const GgufArchitecture& architecture, const GgufKeyRow& row);

}  // namespace gradus
