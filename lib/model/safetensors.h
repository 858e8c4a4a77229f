// SPDX-License-Identifier: Apache-2.0
// The safetensors format (https://github.com/huggingface/safetensors): u64 header length, a JSON
// header {name: {dtype, shape, data_offsets}}, then the data. Reading maps the file and checks
// everything before any byte is used: header at most 100 MB, no duplicate names, no gaps or
// overlaps, dtype x shape equal to the range. Writing pads the header with spaces to 8 bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/files.h"

namespace gradus {

// One stored tensor: a view into the mapped file, valid while the reader lives.
struct StoredTensor {
  std::string dtype;            // as in the file: "F32", "BF16", "F16", "I8", "U8", "I32", "I64", "F8_E4M3", …
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;
};

class SafetensorsFile {
 public:
  explicit SafetensorsFile(const fs::path& path);
  const std::vector<std::string>& names() const { return names_; }  // in file order
  bool contains(const std::string& name) const { return tensors_.contains(name); }
  const StoredTensor& at(const std::string& name) const;            // throws naming file and tensor
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const fs::path& path() const { return file_->path(); }

 private:
  std::unique_ptr<MappedFile> file_;
  std::vector<std::string> names_;
  std::map<std::string, StoredTensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

// Parses an image of a file; exposed for fuzzing. Throws gradus::Error on anything irregular.
std::map<std::string, StoredTensor> parse_safetensors(std::span<const std::byte> image,
                                                      const std::string& where,
                                                      std::map<std::string, std::string>* metadata,
                                                      std::vector<std::string>* names);

// All tensors of a model folder: model.safetensors, or the shards that
// model.safetensors.index.json lists (each listed tensor must be in its shard, and no other).
class SafetensorsFolder {
 public:
  explicit SafetensorsFolder(const fs::path& folder);
  std::vector<std::string> names() const;
  bool contains(const std::string& name) const;
  const StoredTensor& at(const std::string& name) const;
  // "model-00001-of-00002.safetensors: NAME", for error messages.
  std::string place(const std::string& name) const;

 private:
  fs::path folder_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string, size_t> file_of_;
};

size_t safetensors_item_bytes(const std::string& dtype, const std::string& where);

struct TensorToWrite {
  std::string name;
  StoredTensor tensor;  // bytes owned by the caller until the call returns
};

// One file, written atomically.
void write_safetensors(const fs::path& path, const std::vector<TensorToWrite>& tensors,
                       const std::map<std::string, std::string>& metadata = {{"format", "pt"}});
// model.safetensors, or shards of at most `shard_bytes` with model.safetensors.index.json.
void write_safetensors_folder(const fs::path& folder, const std::vector<TensorToWrite>& tensors,
                              int64_t shard_bytes = int64_t{5} << 30);

}  // namespace gradus
