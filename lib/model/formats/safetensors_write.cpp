// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <set>
#include <stdexcept>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "model/formats/safetensors.h"
#include "model/formats/safetensors_dtype.h"

namespace gradus {
namespace {

constexpr size_t kHeaderAlignment = 8;

int64_t source_bytes(const TensorSource& source) {
  int64_t bytes = safetensors_item_bytes(source.dtype, source.name);
  for (const int64_t size : source.shape) {
    if (size < 0 || __builtin_mul_overflow(bytes, size, &bytes)) {
      throw std::logic_error("safetensors: impossible shape of " + source.name);
    }
  }
  return bytes;
}

void sort_like_reference(std::vector<TensorSource>& sources) {
  std::sort(sources.begin(), sources.end(), [](const TensorSource& a, const TensorSource& b) {
    const size_t rank_a = safetensors_dtype_rank(a.dtype, a.name);
    const size_t rank_b = safetensors_dtype_rank(b.dtype, b.name);
    return rank_a != rank_b ? rank_a > rank_b : a.name < b.name;
  });
}

// The eight length bytes and the padded JSON.
std::string header_of(const std::vector<TensorSource>& sources,
                      const SafetensorsMetadata& metadata) {
  // Built as text: a JSON object would compare each new key with all earlier ones.
  std::string header = "{";
  if (!metadata.empty()) header += "\"__metadata__\":" + Json(metadata).dump();
  int64_t offset = 0;
  for (const TensorSource& source : sources) {
    const int64_t end = offset + source_bytes(source);
    const Json entry = {
        {"dtype", source.dtype}, {"shape", source.shape}, {"data_offsets", {offset, end}}};
    header += (header.size() > 1 ? "," : "") + Json(source.name).dump() + ":" + entry.dump();
    offset = end;
  }
  header += "}";
  header.resize((header.size() + kHeaderAlignment - 1) / kHeaderAlignment * kHeaderAlignment, ' ');
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) + header;
}

void check_names(const std::vector<TensorSource>& sources) {
  std::set<std::string> names;
  for (const TensorSource& source : sources) {
    if (!names.insert(source.name).second || source.name == "__metadata__") {
      throw std::logic_error("safetensors: tensor name cannot be written: " + source.name);
    }
  }
}

std::vector<TensorSource> sources_of(const std::vector<TensorToWrite>& tensors) {
  std::vector<TensorSource> sources;
  sources.reserve(tensors.size());
  for (const auto& [name, tensor] : tensors) {
    sources.push_back({name, tensor.dtype, tensor.shape, [bytes = tensor.bytes] { return bytes; }});
  }
  return sources;
}

// Fills shards in the order given; a tensor larger than `shard_bytes` gets one of its own.
std::vector<std::vector<TensorSource>> split_shards(std::vector<TensorSource> tensors,
                                                    int64_t shard_bytes) {
  std::vector<std::vector<TensorSource>> shards(1);
  int64_t filled = 0;
  for (TensorSource& tensor : tensors) {
    const int64_t bytes = source_bytes(tensor);
    if (!shards.back().empty() && bytes > shard_bytes - filled) {
      shards.emplace_back();
      filled = 0;
    }
    filled += bytes;
    shards.back().push_back(std::move(tensor));
  }
  return shards;
}

std::string shard_name(size_t index, size_t count) {
  char name[64];
  std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", index + 1, count);
  return name;
}

// Weights of an earlier model beside the new ones would be loaded instead of them.
void refuse_existing_weights(const fs::path& folder) {
  if (!fs::exists(folder)) return;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("model") && name.find(".safetensors") != std::string::npos) {
      throw Error({.what = "already holds weights", .where = entry.path().string()});
    }
  }
}

}  // namespace

void stream_safetensors(const fs::path& path, std::vector<TensorSource> tensors,
                        const SafetensorsMetadata& metadata) {
  check_names(tensors);
  sort_like_reference(tensors);
  AtomicFile file(path);
  file.write(header_of(tensors, metadata));
  for (const TensorSource& tensor : tensors) {
    const auto bytes = tensor.bytes();
    if (static_cast<int64_t>(bytes.size()) != source_bytes(tensor)) {
      throw std::logic_error("safetensors: wrong number of bytes for " + tensor.name);
    }
    file.write(bytes.data(), bytes.size());
  }
  file.commit();
}

void write_safetensors(const fs::path& path, const std::vector<TensorToWrite>& tensors,
                       const SafetensorsMetadata& metadata) {
  stream_safetensors(path, sources_of(tensors), metadata);
}

void stream_safetensors_folder(const fs::path& folder, std::vector<TensorSource> tensors,
                               int64_t shard_bytes) {
  refuse_existing_weights(folder);
  check_names(tensors);
  auto shards = split_shards(std::move(tensors), shard_bytes);
  if (shards.size() == 1) {
    stream_safetensors(folder / "model.safetensors", std::move(shards[0]));
    return;
  }
  std::map<std::string, std::string> weight_map;
  int64_t total = 0;
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string name = shard_name(i, shards.size());
    for (const TensorSource& tensor : shards[i]) {
      weight_map.emplace(tensor.name, name);
      total += source_bytes(tensor);
    }
    stream_safetensors(folder / name, std::move(shards[i]));
  }
  write_json(folder / "model.safetensors.index.json",
             {{"metadata", {{"total_size", total}}}, {"weight_map", weight_map}});
}

void write_safetensors_folder(const fs::path& folder, const std::vector<TensorToWrite>& tensors,
                              int64_t shard_bytes) {
  stream_safetensors_folder(folder, sources_of(tensors), shard_bytes);
}

}  // namespace gradus
