// SPDX-License-Identifier: Apache-2.0
// The quantization_config of a config.json in the compressed-tensors format: weights only,
// symmetric, int8 per channel ("int-quantized") or int4 in groups ("pack-quantized").
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"

namespace gradus {

struct QuantizationConfig {
  int bits = 8;
  int64_t group_size = 0;            // 0: one scale per output channel
  std::vector<std::string> ignored;  // projections left dense, e.g. "lm_head"

  bool applies_to(const std::string& projection) const;
};

// nullopt when the model is not quantised; throws for a scheme that is not supported.
std::optional<QuantizationConfig> read_quantization_config(const Json& model_config,
                                                           const std::string& where);
Json quantization_config_to_json(const QuantizationConfig& config);

}  // namespace gradus
