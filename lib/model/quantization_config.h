// SPDX-License-Identifier: Apache-2.0
// The quantization_config of a config.json: which scheme the projections of a checkpoint are stored
// in. Formats: compressed-tensors (github.com/neuralmagic/compressed-tensors), GPTQ (AutoGPTQ,
// GPTQModel), AWQ (AutoAWQ, version "gemm"), bitsandbytes NF4.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"

namespace gradus {

// A format of quantised checkpoints: what of it is read and written, for people.
struct QuantizedFormat {
  const char *name, *read, *written, *tested_against;
};
std::span<const QuantizedFormat> quantized_formats();

enum class QuantLayout {
  kInt,     // compressed-tensors "int-quantized", "naive-quantized": int8 weights
  kPacked,  // compressed-tensors "pack-quantized": 4 or 8 bits in int32
  kFloat8,  // compressed-tensors "float-quantized", "naive-quantized": e4m3
  kGptq,
  kAwq,
  kNf4,  // bitsandbytes
};

struct QuantizationConfig {
  int bits = 8;
  int64_t group_size = 0;                 // columns per scale; 0: one scale per output channel
  std::vector<std::string> ignored = {};  // projections left dense: names, or "re:" patterns
  QuantLayout layout = QuantLayout::kInt;
  bool symmetric = true;
  bool block_scales = false;     // kFloat8: one scale for 128 x 128 weights
  bool zeros_minus_one = false;  // kGptq, first version: zero points are stored less one
  bool activations = false;      // the scheme quantises activations too, which is not done here

  // Whether the projection is quantised as far as the configuration says; GPTQ, AWQ and
  // bitsandbytes leave that to what the files hold.
  bool applies_to(const std::string& projection) const;
  // "GPTQ int4", for people.
  std::string name() const;
};

// Whether a module's name is `pattern`, or matches it from its beginning on when it is "re:…", as
// compressed-tensors and llm-compressor do.
bool module_matches(const std::string& pattern, const std::string& module);

// nullopt when the model is not quantised; throws for a scheme that is not supported.
std::optional<QuantizationConfig> read_quantization_config(const Json& model_config,
                                                           const std::string& where);
// The configuration of what `gradus quantize` writes: compressed-tensors, symmetric, weights only.
Json quantization_config_to_json(const QuantizationConfig& config);

}  // namespace gradus
