// SPDX-License-Identifier: Apache-2.0
// adapter_config.json from outside: any bytes are refused with gradus::Error, or give rules that
// answer for every module, and a configuration that is written and read back the same.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "model/formats/lora_config.h"

using namespace gradus;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const LoraConfig config = lora_config_from_json(parse_json(text, "fuzz"), "fuzz");
    const Json written = lora_config_to_json(config);
    if (lora_config_to_json(lora_config_from_json(written, "written")) != written) std::abort();
    const LoraRules rules(config, "fuzz");
    for (const char* module : {"model.layers.0.self_attn.q_proj", "model.layers.31.mlp.down_proj",
                               "model.embed_tokens", "lm_head", "transformer.h.2.attn.c_attn"}) {
      for (const ModuleKind kind : {ModuleKind::kLinear, ModuleKind::kOutput}) {
        rules.is_target(module, kind);
        rules.is_saved(std::string(module) + ".weight");
        if (rules.rank(module) < 1 || rules.rank(module) > kMaxLoraRank) std::abort();
        if (!std::isfinite(rules.scale(module))) std::abort();
      }
    }
  } catch (const Error&) {
  }
  return 0;
}
