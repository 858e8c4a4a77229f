// SPDX-License-Identifier: Apache-2.0
// The quantization_config of a config.json from outside: any bytes are refused with gradus::Error,
// or give a scheme whose rules answer for any projection. What `quantize` writes is read back.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "model/quantization_config.h"

using namespace gradus;

namespace {

bool can_be_written(const QuantizationConfig& config) {
  return config.symmetric &&
         (config.layout == QuantLayout::kInt
              ? config.bits == 8 && config.group_size == 0
              : config.layout == QuantLayout::kPacked && config.bits == 4 && config.group_size > 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const auto config =
        read_quantization_config(Json{{"quantization_config", parse_json(text, "fuzz")}}, "fuzz");
    if (!config) return 0;
    if (config->name().empty() || config->group_size < 0) std::abort();
    if (can_be_written(*config)) {
      const auto again = read_quantization_config(
          Json{{"quantization_config", quantization_config_to_json(*config)}}, "written");
      if (!again || again->bits != config->bits || again->group_size != config->group_size ||
          again->layout != config->layout || again->ignored != config->ignored)
        std::abort();
    }
    for (const char* name : {"lm_head", "model.layers.0.self_attn.q_proj"})
      config->applies_to(name);
  } catch (const Error&) {
  }
  return 0;
}
