// SPDX-License-Identifier: Apache-2.0
#include "model/stored_names.h"

#include <algorithm>

namespace gradus {

void name_stacked_parts(SafetensorsFolder& files, const std::vector<StackedNames>& names) {
  if (names.empty()) return;
  for (const std::string& name : files.names()) {
    for (const StackedNames& stacked : names) {
      if (!name.ends_with(stacked.whole)) continue;
      const std::string prefix = name.substr(0, name.size() - stacked.whole.size());
      std::vector<std::string> parts;
      for (const std::string& part : stacked.parts) parts.push_back(prefix + part);
      files.split(name, parts, stacked.shape);
    }
  }
}

std::string stored_name(const SafetensorsFolder& files, const TensorNames& names,
                        const std::string& name) {
  if (files.contains(name)) return name;
  for (const auto& [usual, other] : names.other_prefixes) {
    if (!name.starts_with(usual)) continue;
    std::string renamed = other + name.substr(usual.size());
    if (files.contains(renamed)) return renamed;
  }
  return name;
}

bool is_known_extra(const std::string& name, const ModelConfig& config) {
  const auto& buffers = config.names.ignored_suffixes;
  const bool is_buffer = std::any_of(buffers.begin(), buffers.end(),
                                     [&](const std::string& end) { return name.ends_with(end); });
  // Rotary frequencies were written by old versions of transformers.
  return is_buffer || name.ends_with(".rotary_emb.inv_freq") ||
         (config.tie_word_embeddings && name == config.names.output + ".weight");
}

bool is_left_out(const std::string& name, const TensorNames& names) {
  const auto& prefixes = names.ignored_prefixes;
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](const std::string& prefix) { return name.starts_with(prefix); });
}

}  // namespace gradus
