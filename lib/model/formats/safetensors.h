// SPDX-License-Identifier: Apache-2.0
// The safetensors format (https://github.com/huggingface/safetensors): u64 header length, a JSON
// header {name: {dtype, shape, data_offsets}}, then the data. Reading maps the file and checks
// everything before any byte is used: header at most 100 MB, no unknown or duplicate keys, no gaps
// or overlaps, dtype x shape equal to the range. Writing gives the same bytes as the Python
// package. Non-goals: the packed sub-byte types (F4, F6), and pickles (.bin, .pt), which can run
// code.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/files.h"

namespace gradus {

// Reads a file at any place, without mapping its pages: faster for what is read once, and the pages
// do not count as memory of this process. Thread-safe.
class FileReader {
 public:
  explicit FileReader(const fs::path& path);
  ~FileReader();
  FileReader(const FileReader&) = delete;
  FileReader& operator=(const FileReader&) = delete;

  void read(uint64_t at, std::span<std::byte> out) const;

 private:
  fs::path path_;
  int descriptor_ = -1;
};

// One stored tensor: a view into the mapped file, valid while the reader lives. The bytes are
// little-endian, row-major, and not always aligned to the item size.
struct StoredTensor {
  std::string
      dtype;  // as in the file: "F32", "BF16", "F16", "I8", "U8", "I32", "I64", "F8_E4M3", …
  std::vector<int64_t> shape;  // empty: a scalar
  std::span<const std::byte> bytes;
  const FileReader* file = nullptr;  // that `bytes` lies in, from `offset` on; null: other memory
  uint64_t offset = 0;

  // Copies `out.size()` bytes from the byte `at` on, past the mapping where there is a file.
  void read(size_t at, std::span<std::byte> out) const;
};

using SafetensorsMetadata = std::map<std::string, std::string>;

// What a file holds.
struct SafetensorsImage {
  std::vector<std::string> names;  // in the order of the data
  std::map<std::string, StoredTensor> tensors;
  SafetensorsMetadata metadata;
};

// Parses an image of a file, which must outlive the result; exposed for fuzzing. Throws
// gradus::Error on anything irregular, naming `where` and the tensor.
SafetensorsImage parse_safetensors(std::span<const std::byte> image, const std::string& where);

class SafetensorsFile {
 public:
  explicit SafetensorsFile(const fs::path& path);
  const std::vector<std::string>& names() const { return image_.names; }
  bool contains(const std::string& name) const { return image_.tensors.contains(name); }
  const StoredTensor& at(const std::string& name) const;  // throws naming file and tensor
  const SafetensorsMetadata& metadata() const { return image_.metadata; }
  const fs::path& path() const { return file_.path(); }

 private:
  MappedFile file_;
  FileReader reader_;
  SafetensorsImage image_;
};

// All tensors of a model folder: model.safetensors, or the shards that
// model.safetensors.index.json lists (each listed tensor must be in its shard, and no other).
class SafetensorsFolder {
 public:
  explicit SafetensorsFolder(const fs::path& folder);
  std::vector<std::string> names() const;  // sorted
  bool contains(const std::string& name) const { return file_of_.contains(name); }
  const StoredTensor& at(const std::string& name) const;  // throws naming folder and tensor
  // From now on `name` is these tensors of `shape`, which are its rows (sizes of 1 in `shape` do
  // not count). Throws naming the file where it has another shape.
  void split(const std::string& name, const std::vector<std::string>& parts,
             const std::vector<int64_t>& shape);
  // ".../model-00001-of-00002.safetensors: NAME", for error messages.
  std::string place(const std::string& name) const;
  const std::vector<std::unique_ptr<SafetensorsFile>>& files() const { return files_; }

 private:
  void open_shards(const fs::path& index);

  fs::path folder_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string, size_t> file_of_;
  std::map<std::string, StoredTensor> parts_;  // of tensors that were split
};

// Bytes of one element; throws naming `where` when the dtype is not one of the format.
int64_t safetensors_item_bytes(const std::string& dtype, const std::string& where);

struct TensorToWrite {
  std::string name;
  StoredTensor tensor;  // bytes owned by the caller until the call returns
};

// A tensor that is made when its turn comes, so that a model needs not fit in memory. `bytes` is
// called once; its result must stay valid until the next source is asked.
struct TensorSource {
  std::string name, dtype;
  std::vector<int64_t> shape;
  std::function<std::span<const std::byte>()> bytes;
};

// One file, written atomically; the data is ordered as the Python package does it (widest dtype
// first, then by name). A byte count that does not fit dtype x shape is a std::logic_error.
void write_safetensors(const fs::path& path, const std::vector<TensorToWrite>& tensors,
                       const SafetensorsMetadata& metadata = {{"format", "pt"}});
void stream_safetensors(const fs::path& path, std::vector<TensorSource> tensors,
                        const SafetensorsMetadata& metadata = {{"format", "pt"}});

constexpr int64_t kShardBytes = int64_t{5} << 30;

// model.safetensors, or shards of at most `shard_bytes` (or one tensor) filled in the order given,
// with model.safetensors.index.json written last. The folder must hold no weights yet.
void write_safetensors_folder(const fs::path& folder, const std::vector<TensorToWrite>& tensors,
                              int64_t shard_bytes = kShardBytes);
void stream_safetensors_folder(const fs::path& folder, std::vector<TensorSource> tensors,
                               int64_t shard_bytes = kShardBytes);

}  // namespace gradus
