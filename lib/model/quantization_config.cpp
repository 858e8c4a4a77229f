// SPDX-License-Identifier: Apache-2.0
#include "model/quantization_config.h"

#include <algorithm>

#include "base/error.h"

namespace gradus {
namespace {

void expect(bool condition, const std::string& key, const std::string& expected, const Json& found,
            const std::string& where) {
  if (condition) return;
  throw Error({.what = "quantisation scheme is not supported: " + key,
               .where = where,
               .expected = expected,
               .found = printable(found.dump(), 80)});
}

const Json& only_group(const Json& config, const std::string& where) {
  const Json groups = json_get<Json>(config, "config_groups", where);
  expect(groups.is_object() && groups.size() == 1, "config_groups", "exactly one group", groups,
         where);
  return config.at("config_groups").begin().value();
}

}  // namespace

bool QuantizationConfig::applies_to(const std::string& projection) const {
  return std::find(ignored.begin(), ignored.end(), projection) == ignored.end();
}

std::optional<QuantizationConfig> read_quantization_config(const Json& model_config,
                                                           const std::string& file) {
  if (!model_config.contains("quantization_config") ||
      model_config.at("quantization_config").is_null())
    return std::nullopt;
  const std::string where = file + ": quantization_config";
  const Json& json = model_config.at("quantization_config");
  const auto method = json_get<std::string>(json, "quant_method", where);
  expect(method == "compressed-tensors", "quant_method", "compressed-tensors", method, where);
  const Json& group = only_group(json, where);
  expect(!group.contains("input_activations") || group.at("input_activations").is_null(),
         "input_activations", "null (weights only)", group, where);
  const Json weights = json_get<Json>(group, "weights", where);
  expect(json_get<std::string>(weights, "type", "int", where) == "int", "type", "int", weights,
         where);
  expect(json_get<bool>(weights, "symmetric", true, where), "symmetric", "true", weights, where);
  QuantizationConfig config;
  config.bits = static_cast<int>(json_get<int64_t>(weights, "num_bits", where));
  const auto strategy = json_get<std::string>(weights, "strategy", where);
  expect((config.bits == 8 && strategy == "channel") || (config.bits == 4 && strategy == "group"),
         "num_bits and strategy", "8 bits per channel or 4 bits per group", weights, where);
  if (strategy == "group") config.group_size = json_get<int64_t>(weights, "group_size", where);
  expect(config.bits == 8 || (config.group_size > 0 && config.group_size % 8 == 0), "group_size",
         "a multiple of 8", weights, where);
  if (json.contains("ignore")) {
    for (const Json& name : json.at("ignore")) {
      const bool plain = name.is_string() && name.get<std::string>().rfind("re:", 0) != 0;
      expect(plain, "ignore", "plain module names", name, where);
      config.ignored.push_back(name.get<std::string>());
    }
  }
  return config;
}

Json quantization_config_to_json(const QuantizationConfig& config) {
  Json weights{{"num_bits", config.bits}, {"type", "int"},
               {"symmetric", true},       {"strategy", config.bits == 8 ? "channel" : "group"},
               {"group_size", nullptr},   {"dynamic", false},
               {"actorder", nullptr},     {"block_structure", nullptr},
               {"observer", "minmax"},    {"observer_kwargs", Json::object()}};
  if (config.group_size > 0) weights["group_size"] = config.group_size;
  const Json group{{"targets", Json::array({"Linear"})},
                   {"weights", weights},
                   {"input_activations", nullptr},
                   {"output_activations", nullptr}};
  return {{"quant_method", "compressed-tensors"},
          {"format", config.bits == 8 ? "int-quantized" : "pack-quantized"},
          {"quantization_status", "compressed"},
          {"global_compression_ratio", nullptr},
          {"ignore", config.ignored},
          {"kv_cache_scheme", nullptr},
          {"config_groups", Json{{"group_0", group}}}};
}

}  // namespace gradus
