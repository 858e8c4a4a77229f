// SPDX-License-Identifier: Apache-2.0
// Which modules a LoRA configuration means, as PEFT decides it (tuners_utils.py,
// check_target_module_exists; other.py, get_pattern_key and _set_trainable).
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "model/formats/lora_config.h"

namespace gradus {
namespace {

// The pattern anchored at both ends, as re.fullmatch does it.
Regex whole(const std::string& pattern, const std::string& where) {
  return Regex("\\A(?:" + pattern + ")\\z", where);
}

bool fits(const Regex& regex, const std::string& name) { return regex.find(name, 0).has_value(); }

// `names` holds the module's name or its last parts.
bool names_module(const std::vector<std::string>& names, const std::string& module) {
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
    return module == name || module.ends_with("." + name);
  });
}

bool is_all_linear(std::string pattern) {
  std::transform(pattern.begin(), pattern.end(), pattern.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return pattern == "all-linear";
}

// The number at the end of "…layers.12." within `module`, or -1.
int64_t layer_number(const Regex& regex, const std::string& module) {
  const auto match = regex.find(module, 0);
  if (!match || match->first == match->second) return -1;  // a strange pattern matches nothing
  size_t begin = match->second - 1;
  while (begin > match->first && std::isdigit(static_cast<unsigned char>(module[begin - 1])))
    --begin;
  const size_t digits = match->second - 1 - begin;
  return digits == 0 || digits > 9 ? -1 : std::stoll(module.substr(begin, digits));
}

template <class T>
T value_of(const std::vector<std::pair<Regex, T>>& patterns, const std::string& module,
           T otherwise) {
  for (const auto& [pattern, value] : patterns) {
    if (fits(pattern, module)) return value;
  }
  return otherwise;
}

}  // namespace

LoraRules::LoraRules(const LoraConfig& config, const std::string& where) : config_(config) {
  const auto place = [&](const char* key) { return where + ": " + key; };
  if (!config.target_pattern.empty() && !is_all_linear(config.target_pattern))
    target_ = whole(config.target_pattern, place("target_modules"));
  if (!config.exclude_pattern.empty())
    exclude_ = whole(config.exclude_pattern, place("exclude_modules"));
  for (const std::string& name : config.modules_to_save)
    saved_.emplace_back("\\A(?:^|.*\\.)" + name + "(?:\\z|\\..*)", place("modules_to_save"));
  for (const std::string& name : config.layers_pattern)
    layers_.emplace_back("\\A(?:^|.*?\\.)(?:" + name + ")\\.\\d+\\.", place("layers_pattern"));
  if (config.layers_pattern.empty())
    layers_.emplace_back("\\A.*?\\.[^.]*\\.\\d+\\.", place("layers_to_transform"));
  const auto ending = [&](const std::string& pattern, const char* key) {
    return Regex("\\A(?:.*\\.)?(?:" + pattern + ")\\z", place(key));
  };
  for (const auto& [pattern, rank] : config.rank_pattern)
    ranks_.emplace_back(ending(pattern, "rank_pattern"), rank);
  for (const auto& [pattern, alpha] : config.alpha_pattern)
    alphas_.emplace_back(ending(pattern, "alpha_pattern"), alpha);
}

bool LoraRules::is_excluded(const std::string& module) const {
  if (exclude_ ? fits(*exclude_, module) : names_module(config_.exclude_modules, module))
    return true;
  return std::any_of(saved_.begin(), saved_.end(),
                     [&](const Regex& regex) { return fits(regex, module); });
}

bool LoraRules::is_in_chosen_layer(const std::string& module) const {
  if (config_.layers_to_transform.empty()) return true;
  int64_t layer = -1;
  for (size_t i = 0; i < layers_.size() && layer < 0; ++i) layer = layer_number(layers_[i], module);
  const auto& chosen = config_.layers_to_transform;
  return layer >= 0 && std::find(chosen.begin(), chosen.end(), layer) != chosen.end();
}

bool LoraRules::is_target(const std::string& module, ModuleKind kind) const {
  if (is_excluded(module)) return false;
  if (target_) return fits(*target_, module);
  if (!config_.target_pattern.empty()) return kind == ModuleKind::kLinear;  // all-linear
  const auto& names = config_.target_modules;
  if (std::find(names.begin(), names.end(), module) != names.end()) return true;
  return names_module(names, module) && is_in_chosen_layer(module);
}

bool LoraRules::is_target_parameter(const std::string& parameter) const {
  return names_module(config_.target_parameters, parameter);
}

bool LoraRules::is_saved(std::string tensor) const {
  const auto& names = config_.modules_to_save;
  for (size_t dot = tensor.rfind('.'); dot != std::string::npos; dot = tensor.rfind('.')) {
    tensor.resize(dot);
    const auto ends = [&](const std::string& name) { return tensor.ends_with(name); };
    if (std::any_of(names.begin(), names.end(), ends)) return true;
  }
  return false;
}

int64_t LoraRules::rank(const std::string& module) const {
  return value_of(ranks_, module, config_.rank);
}

double LoraRules::scale(const std::string& module) const {
  const auto r = static_cast<double>(rank(module));
  return value_of(alphas_, module, config_.alpha) / (config_.use_rslora ? std::sqrt(r) : r);
}

}  // namespace gradus
