// SPDX-License-Identifier: Apache-2.0
// What differs between two models: configuration keys, tensors with their largest differences,
// tokenizer and chat template.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"

namespace gradus {

struct TensorDifference {
  std::string name;
  std::string what;  // "only in the first", "shape [2] and [3]", "dtype BF16 and F32", "values"
  // Of the values as fp32, where both have the same shape and numbers can be read from both; a NaN
  // on one side alone is an infinite difference.
  std::optional<double> largest_absolute = {};
  std::optional<double> largest_relative = {};  // |a - b| / max(|a|, |b|)
  int64_t differing = 0;                        // values
};

struct ModelDifference {
  std::vector<std::string> config;  // "rope_theta: 10000.0 and 500000.0"
  std::vector<TensorDifference> tensors;
  std::vector<std::string> text;  // "tokenizer: files differ"
  int64_t equal_tensors = 0;

  bool equal() const { return config.empty() && tensors.empty() && text.empty(); }
};

// Folders or GGUF files. The keys transformers_version and _name_or_path of a configuration, which
// say nothing about the model, are left out.
ModelDifference diff_models(const fs::path& first, const fs::path& second);

Json diff_json(const ModelDifference& difference);
std::string diff_text(const ModelDifference& difference);

}  // namespace gradus
