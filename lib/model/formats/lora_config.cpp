// SPDX-License-Identifier: Apache-2.0
#include "model/formats/lora_config.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"

namespace gradus {
namespace {

// Read below, or without any effect on what a trained adapter computes. eva_config, corda_config
// and the like tell how it was initialised; init_lora_weights says whether that changed the base.
constexpr std::array kAccepted = {"alpha_pattern",
                                  "auto_mapping",
                                  "base_model_name_or_path",
                                  "bias",
                                  "corda_config",
                                  "ensure_weight_tying",
                                  "eva_config",
                                  "exclude_modules",
                                  "fan_in_fan_out",  // the base's layout; A and B are the same
                                  "inference_mode",
                                  "init_lora_weights",
                                  "layers_pattern",
                                  "layers_to_transform",
                                  "loftq_config",
                                  "lora_alpha",
                                  "lora_bias",
                                  "lora_dropout",  // of training only
                                  "lora_ga_config",
                                  "megatron_core",
                                  "modules_to_save",
                                  "peft_type",
                                  "peft_version",
                                  "qalora_group_size",
                                  "r",
                                  "rank_pattern",
                                  "revision",
                                  "runtime_config",
                                  "target_modules",
                                  "target_parameters",
                                  "task_type",
                                  "trainable_token_indices",
                                  "unsloth_fixed",
                                  "use_dora",
                                  "use_rslora",
                                  "velora_config"};

constexpr const char* kTokens = "trainable_token_indices";

// Inits that leave the base as it was. The others take a part of the base's weights away, so the
// adapter fits a base that is in no file.
constexpr std::array kPlainInits = {"gaussian", "eva", "orthogonal", "mica"};

bool is_off(const Json& value) {
  return value.is_null() || value == false ||
         ((value.is_array() || value.is_object() || value.is_string()) && value.empty());
}

[[noreturn]] void unusable(const std::string& what, const std::string& where,
                           const std::string& hint = {}) {
  throw Error({.what = what, .where = where, .hint = hint});
}

void check_options(const Json& json, const std::string& where) {
  for (const auto& [key, value] : json.items()) {
    if (is_off(value)) continue;
    if (std::find(kAccepted.begin(), kAccepted.end(), key) != kAccepted.end()) continue;
    unusable(cat("adapter option '", printable(key), "' is not supported"), where);
  }
}

void check_kind(const Json& json, const std::string& where) {
  const auto type = json_get<std::string>(json, "peft_type", where);
  if (type != "LORA")
    throw Error({.what = "adapter type is not supported",
                 .where = where,
                 .expected = "LORA",
                 .found = printable(type)});
  const auto task = json_get<std::string>(json, "task_type", "CAUSAL_LM", where);
  if (task != "CAUSAL_LM")
    throw Error({.what = "task_type is not supported",
                 .where = where,
                 .expected = "CAUSAL_LM",
                 .found = printable(task)});
}

void check_init(const Json& json, const std::string& where) {
  const Json init = json_get<Json>(json, "init_lora_weights", true, where);
  if (init.is_boolean()) return;
  const std::string name = init.is_string() ? init.get<std::string>() : init.dump();
  if (std::find(kPlainInits.begin(), kPlainInits.end(), name) != kPlainInits.end()) return;
  unusable(cat("init_lora_weights '", printable(name), "' changes the base's weights"), where,
           "save it converted to LoRA: save_pretrained(…, path_initial_model_for_weight_conversion"
           "=…)");
}

std::vector<std::string> texts(const Json& value, const char* key, const std::string& where) {
  std::vector<std::string> list;
  if (value.is_null()) return list;
  if (value.is_string()) return {value.get<std::string>()};
  if (!value.is_array()) json_wrong_type(value, key, "a list of names", where);
  for (const Json& item : value) {
    if (!item.is_string() || item.get_ref<const std::string&>().empty())
      json_wrong_type(item, key, "a list of names", where);
    list.push_back(item.get<std::string>());
  }
  return list;
}

// A list of names, or one string that is a pattern.
void read_names(const Json& json, const char* key, std::vector<std::string>& names,
                std::string& pattern, const std::string& where) {
  const Json value = json_get<Json>(json, key, nullptr, where);
  if (value.is_string()) {
    pattern = value.get<std::string>();
  } else {
    names = texts(value, key, where);
  }
}

std::vector<int64_t> layers(const Json& json, const std::string& where) {
  Json value = json_get<Json>(json, "layers_to_transform", nullptr, where);
  if (value.is_null()) return {};
  if (!value.is_array()) value = Json::array({value});
  std::vector<int64_t> list;
  for (const Json& item : value) {
    if (!item.is_number_integer())
      json_wrong_type(item, "layers_to_transform", "a layer's number or a list of them", where);
    list.push_back(item.get<int64_t>());
  }
  return list;
}

int64_t checked_rank(int64_t rank, const std::string& key, const std::string& where) {
  if (rank >= 1 && rank <= kMaxLoraRank) return rank;
  throw Error({.what = cat("'", printable(key), "' is not a usable rank"),
               .where = where,
               .expected = cat("1 to ", kMaxLoraRank),
               .found = cat(rank)});
}

double checked_alpha(double alpha, const std::string& key, const std::string& where) {
  if (std::isfinite(alpha)) return alpha;
  unusable(cat("'", printable(key), "' is not a finite number"), where);
}

// Calls read(pattern, place) for each member of an object that may be absent.
template <class Read>
void each_pattern(const Json& json, const char* key, const std::string& where, const Read& read) {
  const Json patterns = json_get<Json>(json, key, nullptr, where);
  if (patterns.is_null()) return;
  if (!patterns.is_object()) json_wrong_type(patterns, key, "an object", where);
  for (const auto& [pattern, value] : patterns.items()) read(pattern, cat(where, ": ", key));
}

void read_patterns(const Json& json, LoraConfig& config, const std::string& where) {
  each_pattern(json, "rank_pattern", where, [&](const std::string& key, const std::string& place) {
    const auto rank = json_get<int64_t>(json.at("rank_pattern"), key, place);
    config.rank_pattern.emplace_back(key, checked_rank(rank, key, place));
  });
  each_pattern(json, "alpha_pattern", where, [&](const std::string& key, const std::string& place) {
    const auto alpha = json_get<double>(json.at("alpha_pattern"), key, place);
    config.alpha_pattern.emplace_back(key, checked_alpha(alpha, key, place));
  });
}

std::vector<int64_t> token_ids(const Json& value, const std::string& where) {
  std::vector<int64_t> ids;
  if (!value.is_array()) json_wrong_type(value, kTokens, "a list of token ids", where);
  for (const Json& id : value) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0)
      json_wrong_type(id, kTokens, "a list of token ids", where);
    ids.push_back(id.get<int64_t>());
  }
  std::vector<int64_t> sorted = ids;
  std::sort(sorted.begin(), sorted.end());
  if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end())
    unusable(cat("'", kTokens, "' names a token twice"), where);
  return ids;
}

// A list is for the input embedding; an object names the embedding.
void read_tokens(const Json& json, LoraConfig& config, const std::string& where) {
  const Json value = json_get<Json>(json, kTokens, nullptr, where);
  if (is_off(value)) return;
  if (value.is_array()) {
    config.trainable_tokens.emplace_back("", token_ids(value, where));
    return;
  }
  if (!value.is_object()) json_wrong_type(value, kTokens, "a list or an object of lists", where);
  for (const auto& [name, ids] : value.items())
    config.trainable_tokens.emplace_back(name, token_ids(ids, where));
}

LoraBias read_bias(const Json& json, const std::string& where) {
  const auto name = json_get<std::string>(json, "bias", "none", where);
  if (name == "none") return LoraBias::kNone;
  if (name == "all") return LoraBias::kAll;
  if (name == "lora_only") return LoraBias::kLoraOnly;
  throw Error({.what = "bias is not known",
               .where = where,
               .expected = "none, all or lora_only",
               .found = printable(name)});
}

void check_targets(const LoraConfig& config, const std::string& where) {
  if (config.target_modules.empty() && config.target_pattern.empty() &&
      config.target_parameters.empty() && config.trainable_tokens.empty())
    unusable("target_modules names nothing", where);
  if (config.lora_bias && config.use_dora) unusable("lora_bias does not go with use_dora", where);
  if (!config.target_parameters.empty() && (config.lora_bias || config.use_dora))
    unusable("target_parameters does not go with lora_bias or use_dora", where);
  const bool layered = !config.layers_to_transform.empty();
  if (layered && !config.target_pattern.empty())
    unusable("layers_to_transform does not go with target_modules as a pattern", where);
  if (!config.layers_pattern.empty() && !layered)
    unusable("layers_pattern has no effect without layers_to_transform", where);
}

const char* bias_name(LoraBias bias) {
  return bias == LoraBias::kNone ? "none" : bias == LoraBias::kAll ? "all" : "lora_only";
}

Json names_json(const std::vector<std::string>& names, const std::string& pattern) {
  if (!pattern.empty()) return pattern;
  return names.empty() ? Json(nullptr) : Json(names);
}

Json tokens_json(const LoraConfig& config) {
  if (config.trainable_tokens.empty()) return nullptr;
  if (config.trainable_tokens[0].first.empty()) return config.trainable_tokens[0].second;
  Json object = Json::object();
  for (const auto& [name, ids] : config.trainable_tokens) object[name] = ids;
  return object;
}

template <class Pairs>
Json patterns_json(const Pairs& pairs) {
  Json object = Json::object();
  for (const auto& [pattern, value] : pairs) object[pattern] = value;
  return object;
}

}  // namespace

LoraConfig lora_config_from_json(const Json& json, const std::string& where) {
  check_kind(json, where);
  check_options(json, where);
  check_init(json, where);
  LoraConfig config;
  config.rank = checked_rank(json_get<int64_t>(json, "r", where), "r", where);
  config.alpha = checked_alpha(json_get<double>(json, "lora_alpha", where), "lora_alpha", where);
  config.use_rslora = json_get<bool>(json, "use_rslora", false, where);
  config.use_dora = json_get<bool>(json, "use_dora", false, where);
  config.lora_bias = json_get<bool>(json, "lora_bias", false, where);
  config.bias = read_bias(json, where);
  config.ensure_weight_tying = json_get<bool>(json, "ensure_weight_tying", false, where);
  config.base_model = json_get<std::string>(json, "base_model_name_or_path", "", where);
  config.revision = json_get<std::string>(json, "revision", "", where);
  read_names(json, "target_modules", config.target_modules, config.target_pattern, where);
  read_names(json, "exclude_modules", config.exclude_modules, config.exclude_pattern, where);
  const auto list = [&](const char* key) {
    return texts(json_get<Json>(json, key, nullptr, where), key, where);
  };
  config.modules_to_save = list("modules_to_save");
  config.target_parameters = list("target_parameters");
  config.layers_pattern = list("layers_pattern");
  config.layers_to_transform = layers(json, where);
  read_patterns(json, config, where);
  read_tokens(json, config, where);
  check_targets(config, where);
  return config;
}

Json lora_config_to_json(const LoraConfig& c) {
  Json layers = nullptr, pattern = nullptr, saved = nullptr, revision = nullptr;
  if (!c.revision.empty()) revision = c.revision;
  if (!c.layers_to_transform.empty()) layers = c.layers_to_transform;
  if (!c.layers_pattern.empty()) pattern = c.layers_pattern;
  if (!c.modules_to_save.empty()) saved = c.modules_to_save;
  return {{"peft_type", "LORA"},
          {"task_type", "CAUSAL_LM"},
          {"base_model_name_or_path", c.base_model},
          {"revision", revision},
          {"r", c.rank},
          {"lora_alpha", c.alpha},
          {"lora_dropout", 0.0},
          {"use_rslora", c.use_rslora},
          {"use_dora", c.use_dora},
          {"lora_bias", c.lora_bias},
          {"target_modules", names_json(c.target_modules, c.target_pattern)},
          {"target_parameters", names_json(c.target_parameters, "")},
          {"trainable_token_indices", tokens_json(c)},
          {"exclude_modules", names_json(c.exclude_modules, c.exclude_pattern)},
          {"layers_to_transform", layers},
          {"layers_pattern", pattern},
          {"rank_pattern", patterns_json(c.rank_pattern)},
          {"alpha_pattern", patterns_json(c.alpha_pattern)},
          {"modules_to_save", saved},
          {"bias", bias_name(c.bias)},
          {"ensure_weight_tying", c.ensure_weight_tying},
          {"inference_mode", true}};
}

}  // namespace gradus
