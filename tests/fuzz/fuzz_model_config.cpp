// SPDX-License-Identifier: Apache-2.0
// config.json from outside: any bytes are refused with gradus::Error, or give a configuration that
// can be counted and that is written and read back the same.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "model/config.h"

using namespace gradus;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const ModelConfig config = model_config_from_json(parse_json(text, "fuzz"), "fuzz");
    if (parameter_count(config) < 1 || matmul_parameter_count(config) < 1) std::abort();
    const Json written = model_config_to_json(config, "float32");
    const ModelConfig again = model_config_from_json(written, "written");
    if (model_config_to_json(again, "float32") != written) std::abort();
    if (parameter_count(again) != parameter_count(config)) std::abort();
  } catch (const Error&) {
  }
  return 0;
}
