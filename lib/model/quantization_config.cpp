// SPDX-License-Identifier: Apache-2.0
#include "model/quantization_config.h"

#include <algorithm>

#include "base/error.h"
#include "text/tokenizer/regex.h"

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

bool is_null(const Json& object, const char* key) {
  return !object.contains(key) || object.at(key).is_null();
}

std::vector<std::string> name_list(const Json& json, const char* key, const std::string& where) {
  std::vector<std::string> names;
  if (is_null(json, key)) return names;
  const Json& list = json.at(key);
  expect(list.is_array() && list.size() <= 100'000, key, "a list of module names", list, where);
  for (const Json& name : list) {
    expect(name.is_string(), key, "module names", name, where);
    names.push_back(name.get<std::string>());
  }
  return names;
}

QuantLayout layout_of(const std::string& format, bool floating, int64_t bits, const Json& json,
                      const std::string& where) {
  if (format == "pack-quantized" && !floating && (bits == 4 || bits == 8))
    return QuantLayout::kPacked;
  const bool naive = format == "naive-quantized";
  if ((format == "int-quantized" || naive) && !floating && bits == 8) return QuantLayout::kInt;
  if ((format == "float-quantized" || naive) && floating && bits == 8) return QuantLayout::kFloat8;
  expect(false, "format", "pack-quantized (4 or 8 bits), int-quantized or float-quantized (8 bits)",
         {{"format", format}, {"bits", bits}, {"type", json.value("type", "int")}}, where);
  return {};
}

void read_strategy(const Json& weights, QuantizationConfig& config, const std::string& where) {
  const auto strategy = json_get<std::string>(weights, "strategy", where);
  config.block_scales = strategy == "block" && config.layout == QuantLayout::kFloat8;
  const bool grouped = strategy == "group" && config.layout != QuantLayout::kFloat8;
  expect(strategy == "channel" || strategy == "tensor" || grouped || config.block_scales,
         "strategy", "channel, tensor, group (integers) or block (fp8)", weights, where);
  if (grouped) config.group_size = json_get<int64_t>(weights, "group_size", where);
  expect(!grouped || (config.group_size > 0 && config.group_size <= 1 << 24), "group_size",
         "a positive number", weights, where);
  if (!config.block_scales || is_null(weights, "block_structure")) return;
  expect(weights.at("block_structure") == Json::array({128, 128}), "block_structure", "[128, 128]",
         weights, where);
}

QuantizationConfig read_compressed(const Json& json, const std::string& where) {
  const Json& group = only_group(json, where);
  for (const std::string& target : name_list(group, "targets", where))
    expect(target == "Linear", "targets", "Linear", target, where);
  const Json weights = json_get<Json>(group, "weights", where);
  const auto type = json_get<std::string>(weights, "type", "int", where);
  expect(type == "int" || type == "float", "type", "int or float", weights, where);
  QuantizationConfig config;
  config.symmetric = json_get<bool>(weights, "symmetric", true, where);
  config.activations = !is_null(group, "input_activations");
  const auto bits = json_get<int64_t>(weights, "num_bits", where);
  config.layout = layout_of(json_get<std::string>(json, "format", "", where), type == "float", bits,
                            weights, where);
  config.bits = static_cast<int>(bits);
  read_strategy(weights, config, where);
  config.ignored = name_list(json, "ignore", where);
  return config;
}

// -1: one group for the whole row.
int64_t read_group_size(const Json& json, const char* key, const std::string& where) {
  const auto size = json_get<int64_t>(json, key, 128, where);
  expect(size == -1 || (size > 0 && size <= 1 << 24), key, "a positive number, or -1", size, where);
  return std::max<int64_t>(0, size);
}

QuantizationConfig read_gptq(const Json& json, const std::string& where) {
  const auto bits = json_get<int64_t>(json, "bits", where);
  expect(bits == 4 || bits == 8, "bits", "4 or 8", json.at("bits"), where);
  QuantizationConfig config{.bits = static_cast<int>(bits), .layout = QuantLayout::kGptq};
  config.group_size = read_group_size(json, "group_size", where);
  const auto format = json_get<std::string>(json, "checkpoint_format", "gptq", where);
  expect(format == "gptq" || format == "gptq_v2", "checkpoint_format", "gptq or gptq_v2", format,
         where);
  config.zeros_minus_one = format == "gptq";
  return config;
}

QuantizationConfig read_awq(const Json& json, const std::string& where) {
  const char* key = json.contains("bits") ? "bits" : "w_bit";
  const char* group = json.contains("group_size") ? "group_size" : "q_group_size";
  expect(json_get<int64_t>(json, key, where) == 4, key, "4", json.at(key), where);
  const auto version = json_get<std::string>(json, "version", "gemm", where);
  expect(version == "gemm" || version == "GEMM", "version", "gemm", version, where);
  QuantizationConfig config{.bits = 4, .layout = QuantLayout::kAwq};
  config.group_size = read_group_size(json, group, where);
  return config;
}

QuantizationConfig read_bitsandbytes(const Json& json, const std::string& where) {
  expect(json_get<bool>(json, "load_in_4bit", false, where), "load_in_4bit", "true (NF4)",
         json.value("load_in_4bit", Json()), where);
  const auto type = json_get<std::string>(json, "bnb_4bit_quant_type", "fp4", where);
  expect(type == "nf4", "bnb_4bit_quant_type", "nf4", type, where);
  return {.bits = 4, .ignored = {}, .layout = QuantLayout::kNf4};
}

constexpr QuantizedFormat kFormats[] = {
    {"compressed-tensors",
     "int4 and int8 per group, channel or tensor, symmetric or not, activation order; fp8 per "
     "tensor, channel or block",
     "`quantize`: int4 per group, int8 per channel", "compressed-tensors"},
    {"GPTQ", "4 and 8 bits, versions 1 and 2, with or without activation order", "", "auto_gptq"},
    {"AWQ", "4 bits, version `gemm`", "", "autoawq"},
    {"bitsandbytes", "NF4, plain or nested", "", "bitsandbytes"},
};

}  // namespace

std::span<const QuantizedFormat> quantized_formats() { return kFormats; }

bool module_matches(const std::string& pattern, const std::string& module) {
  if (!pattern.starts_with("re:")) return pattern == module;
  constexpr size_t kMostPattern = 1000;
  if (pattern.size() > kMostPattern)
    throw Error({.what = "the pattern is too long", .where = printable(pattern)});
  return Regex("\\A(?:" + pattern.substr(3) + ")", printable(pattern)).find(module, 0).has_value();
}

bool QuantizationConfig::applies_to(const std::string& projection) const {
  return std::none_of(ignored.begin(), ignored.end(), [&](const std::string& pattern) {
    return module_matches(pattern, projection);
  });
}

std::string QuantizationConfig::name() const {
  switch (layout) {
    case QuantLayout::kInt:
    case QuantLayout::kPacked:
      return cat("compressed-tensors int", bits);
    case QuantLayout::kFloat8:
      return "compressed-tensors fp8";
    case QuantLayout::kGptq:
      return cat("GPTQ int", bits);
    case QuantLayout::kAwq:
      return "AWQ int4";
    case QuantLayout::kNf4:
      return "bitsandbytes NF4";
  }
  return "";
}

std::optional<QuantizationConfig> read_quantization_config(const Json& model_config,
                                                           const std::string& file) {
  if (!model_config.contains("quantization_config") ||
      model_config.at("quantization_config").is_null())
    return std::nullopt;
  struct Method {
    const char* name;
    QuantizationConfig (*read)(const Json&, const std::string&);
  };
  static constexpr Method kMethods[] = {{"compressed-tensors", read_compressed},
                                        {"gptq", read_gptq},
                                        {"awq", read_awq},
                                        {"bitsandbytes", read_bitsandbytes}};
  const std::string where = file + ": quantization_config";
  const Json& json = model_config.at("quantization_config");
  const auto method = json_get<std::string>(json, "quant_method", where);
  for (const Method& entry : kMethods) {
    if (method == entry.name) return entry.read(json, where);
  }
  expect(false, "quant_method", "compressed-tensors, gptq, awq or bitsandbytes", method, where);
  return std::nullopt;
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
