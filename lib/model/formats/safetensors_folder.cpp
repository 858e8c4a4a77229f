// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"
#include "base/json.h"
#include "model/formats/safetensors.h"

namespace gradus {
namespace {

bool is_pickle(const fs::path& file) {
  const auto extension = file.extension();
  return extension == ".bin" || extension == ".pt" || extension == ".pth" || extension == ".ckpt";
}

// 'it''s' as one word of a shell.
std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char letter : text)
    out += letter == '\'' ? std::string("'\\''") : std::string(1, letter);
  return out + "'";
}

// A command that reads the pickles of the folder with tensors only, and writes safetensors there.
std::string conversion(const fs::path& folder, const fs::path& pickle) {
  const std::string place = quoted(folder.string());
  return "pickles can run code, so " + pickle.filename().string() +
         " is not read; convert it once: python -c \"import sys, transformers as t; "
         "t.AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype='auto')"
         ".save_pretrained(sys.argv[1])\" " +
         place;
}

[[noreturn]] void no_weights(const fs::path& folder) {
  if (!fs::is_directory(folder))
    throw Error({.what = fs::exists(folder) ? "is not a folder" : "does not exist",
                 .where = folder.string(),
                 .expected = "a model folder"});
  std::string hint;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (is_pickle(entry.path())) hint = conversion(folder, entry.path());
  }
  throw Error({.what = "holds no model.safetensors and no model.safetensors.index.json",
               .where = folder.string(),
               .hint = hint});
}

// A shard's name may not lead out of the folder.
void check_shard_name(const std::string& name, const std::string& where) {
  if (!name.empty() && name.find('/') == std::string::npos && name != "." && name != "..") return;
  throw Error({.what = "a shard must be a plain file name",
               .where = where,
               .found = "'" + printable(name) + "'"});
}

const Json& weight_map(const Json& index, const std::string& where) {
  if (!index.is_object() || !index.contains("weight_map")) json_missing("weight_map", where);
  const Json& map = index["weight_map"];
  if (!map.is_object()) json_wrong_type(map, "weight_map", "an object", where);
  if (map.empty())
    throw Error({.what = std::string("names no tensors: its weight_map is empty"), .where = where});
  return map;
}

}  // namespace

SafetensorsFolder::SafetensorsFolder(const fs::path& folder) : folder_(folder) {
  const fs::path single = folder / "model.safetensors";
  const fs::path index = folder / "model.safetensors.index.json";
  if (fs::exists(single)) {
    files_.push_back(std::make_unique<SafetensorsFile>(single));
    for (const auto& name : files_[0]->names()) file_of_.emplace(name, 0);
  } else if (fs::exists(index)) {
    open_shards(index);
  } else {
    no_weights(folder);
  }
}

void SafetensorsFolder::open_shards(const fs::path& index) {
  const Json document = read_json(index);
  const std::string where = index.string();
  std::map<std::string, size_t> shards;
  for (const auto& [tensor, file] : weight_map(document, where).items()) {
    if (!file.is_string()) json_wrong_type(file, tensor, "a string", where);
    const auto& shard = file.get_ref<const std::string&>();
    const auto [entry, is_new] = shards.emplace(shard, files_.size());
    if (is_new) {
      check_shard_name(shard, where);
      files_.push_back(std::make_unique<SafetensorsFile>(folder_ / shard));
    }
    files_[entry->second]->at(tensor);
    file_of_.emplace(tensor, entry->second);
  }
  for (size_t i = 0; i < files_.size(); ++i) {
    for (const auto& name : files_[i]->names()) {
      const auto found = file_of_.find(name);
      if (found != file_of_.end() && found->second == i) continue;
      throw Error({.what = "tensor is not listed for this file in " + index.filename().string(),
                   .where = files_[i]->path().string() + ": " + printable(name)});
    }
  }
}

std::vector<std::string> SafetensorsFolder::names() const {
  std::vector<std::string> names;
  names.reserve(file_of_.size());
  for (const auto& [name, file] : file_of_) names.push_back(name);
  return names;
}

void SafetensorsFolder::split(const std::string& name, const std::vector<std::string>& parts,
                              const std::vector<int64_t>& shape) {
  const StoredTensor whole = at(name);
  std::vector<int64_t> joined{static_cast<int64_t>(parts.size())};
  for (const int64_t size : shape) {
    if (size != 1) joined.push_back(size);
  }
  if (whole.shape != joined)
    throw Error({.what = "tensor has the wrong shape",
                 .where = place(name),
                 .expected = Json(joined).dump(),
                 .found = Json(whole.shape).dump()});
  const size_t bytes = whole.bytes.size() / parts.size(), file = file_of_.at(name);
  for (size_t i = 0; i < parts.size(); ++i) {
    StoredTensor part = whole;
    part.shape = shape;
    part.bytes = whole.bytes.subspan(i * bytes, bytes);
    part.offset += i * bytes;
    if (!file_of_.emplace(parts[i], file).second)
      throw Error({.what = "tensor is also a part of '" + name + "'", .where = place(parts[i])});
    parts_.emplace(parts[i], part);
  }
  file_of_.erase(name);
}

const StoredTensor& SafetensorsFolder::at(const std::string& name) const {
  if (const auto part = parts_.find(name); part != parts_.end()) return part->second;
  const auto found = file_of_.find(name);
  if (found != file_of_.end()) return files_[found->second]->at(name);
  const std::string nearest = nearest_name(name, names());
  throw Error({.what = "has no tensor '" + printable(name) + "'",
               .where = folder_.string(),
               .hint = nearest.empty() ? "" : "did you mean '" + printable(nearest) + "'?"});
}

std::string SafetensorsFolder::place(const std::string& name) const {
  const auto found = file_of_.find(name);
  const fs::path file = found == file_of_.end() ? folder_ : files_[found->second]->path();
  return file.string() + ": " + printable(name);
}

}  // namespace gradus
