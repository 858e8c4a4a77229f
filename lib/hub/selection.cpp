// SPDX-License-Identifier: Apache-2.0
#include "hub/selection.h"

#include <algorithm>
#include <array>
#include <set>

#include "base/digest.h"
#include "base/error.h"
#include "hub/reference.h"

namespace gradus {
namespace {

constexpr std::array<std::string_view, 6> kTextFiles = {
    "config.json",          "generation_config.json", "adapter_config.json",
    "quantize_config.json", "quant_config.json",      "lineage.json"};
constexpr std::array<std::string_view, 5> kPickles = {".bin", ".pt", ".pth", ".pkl", ".ckpt"};
constexpr std::array<std::string_view, 7> kData = {".jsonl", ".ndjson", ".json", ".csv",
                                                   ".txt",   ".text",   ".md"};

template <size_t N>
bool ends_with_any(std::string_view name, const std::array<std::string_view, N>& endings) {
  return std::any_of(endings.begin(), endings.end(),
                     [&](std::string_view ending) { return name.ends_with(ending); });
}

bool is_model_text(std::string_view name) {
  if (is_tokenizer_file(name)) return true;
  if (std::find(kTextFiles.begin(), kTextFiles.end(), name) != kTextFiles.end()) return true;
  for (const std::string_view start : {"chat_template", "README", "LICENSE", "LICENCE", "NOTICE",
                                       "USE_POLICY", "tokenizer.model."}) {
    if (name.starts_with(start)) return true;
  }
  const bool vocabulary = name.find("vocab") != std::string_view::npos && name.ends_with(".txt");
  return vocabulary || name == "ice_text.model";
}

bool is_data(std::string_view name) {
  for (const std::string_view ending : {".gz", ".zst"}) {
    if (name.ends_with(ending)) name.remove_suffix(ending.size());
  }
  return ends_with_any(name, kData) && !name.starts_with('.') && name != "README.md";
}

std::string prefix_of(const std::string& folder) { return folder.empty() ? "" : folder + "/"; }

// The names of the files directly in `folder`.
std::vector<std::string_view> names_in(const HubPaths& all, const std::string& folder) {
  const std::string prefix = prefix_of(folder);
  std::vector<std::string_view> names;
  for (const std::string& path : all) {
    if (!path.starts_with(prefix)) continue;
    const std::string_view name = std::string_view(path).substr(prefix.size());
    if (name.find('/') == std::string_view::npos) names.push_back(name);
  }
  return names;
}

bool contains(const HubPaths& all, const std::string& path) {
  return std::find(all.begin(), all.end(), path) != all.end();
}

template <class F>
HubPaths paths_where(const HubPaths& all, const std::string& folder, F wanted) {
  HubPaths paths;
  for (const std::string_view name : names_in(all, folder)) {
    if (wanted(name)) paths.push_back(prefix_of(folder) + std::string(name));
  }
  return paths;
}

[[noreturn]] void no_weights(const HubPaths& all, const std::string& folder,
                             const std::string& where) {
  std::string gguf, pickle;
  for (const std::string_view name : names_in(all, folder)) {
    if (name.ends_with(".gguf")) gguf += (gguf.empty() ? "" : ", ") + std::string(name);
    if (ends_with_any(name, kPickles)) pickle = name;
  }
  std::string hint = "is it a model's repository?";
  if (!pickle.empty())
    hint = "pickles such as " + printable(pickle) +
           " can run code and are not read: convert them with transformers' "
           "save_pretrained(..., safe_serialization=True)";
  if (!gguf.empty()) hint = "name one of its GGUF files: " + printable(gguf, 300);
  throw Error({.what = "holds no safetensors weights", .where = where, .hint = hint});
}

}  // namespace

HubPaths model_text_files(const HubPaths& all, const std::string& folder) {
  HubPaths paths = paths_where(all, folder, is_model_text);
  if (const std::string index = weights_index(all, folder); !index.empty()) paths.push_back(index);
  return paths;
}

std::string weights_index(const HubPaths& all, const std::string& folder) {
  const std::string index = prefix_of(folder) + "model.safetensors.index.json";
  const bool single = contains(all, prefix_of(folder) + "model.safetensors");
  return !single && contains(all, index) ? index : "";
}

HubPaths shards_of_index(std::string_view index, const std::string& folder,
                         const std::string& where) {
  const auto map = json_get<Json>(parse_json(index, where), "weight_map", where);
  if (!map.is_object() || map.empty()) json_wrong_type(map, "weight_map", "an object", where);
  std::set<std::string> shards;
  for (const auto& [tensor, file] : map.items()) {
    if (!file.is_string()) json_wrong_type(file, tensor, "a string", where);
    const auto& name = file.get_ref<const std::string&>();
    if (!is_safe_relative_path(name) || name.find('/') != std::string::npos ||
        !name.ends_with(".safetensors"))
      throw Error({.what = "a shard must be a safetensors file beside the index",
                   .where = where,
                   .found = "'" + printable(name) + "'"});
    shards.insert(prefix_of(folder) + name);
  }
  return {shards.begin(), shards.end()};
}

HubPaths single_weights(const HubPaths& all, const std::string& folder, const std::string& where) {
  HubPaths weights = paths_where(all, folder, [](std::string_view name) {
    return name == "model.safetensors" || name == "adapter_model.safetensors";
  });
  // Older quantisers name their one file after the method.
  if (weights.empty())
    weights = paths_where(all, folder,
                          [](std::string_view name) { return name.ends_with(".safetensors"); });
  if (weights.size() == 1 || contains(all, prefix_of(folder) + "model.safetensors")) return weights;
  no_weights(all, folder, where);
}

HubPaths data_files_of(const HubPaths& all, const std::string& folder) {
  return paths_where(all, folder, is_data);
}

HubPaths named_file(const HubPaths& all, const std::string& path, const std::string& where) {
  if (ends_with_any(path, kPickles))
    throw Error({.what = "is a pickle, which can run code, and is not fetched", .where = where});
  // name-00001-of-00003.gguf: the parts are one file.
  constexpr std::string_view kFirst = "-00001-of-";
  const size_t at = path.rfind(kFirst);
  if (at == std::string::npos || !path.ends_with(".gguf")) return {path};
  HubPaths parts;
  const std::string start = path.substr(0, at + 1), end = path.substr(at + kFirst.size() - 4);
  for (const std::string& other : all) {
    if (other.size() == path.size() && other.starts_with(start) && other.ends_with(end))
      parts.push_back(other);
  }
  return parts;
}

bool has_folder(const HubPaths& all, const std::string& folder) {
  return folder.empty() || std::any_of(all.begin(), all.end(), [&](const std::string& path) {
           return path.starts_with(folder + "/");
         });
}

}  // namespace gradus
