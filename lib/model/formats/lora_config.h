// SPDX-License-Identifier: Apache-2.0
// adapter_config.json of LoRA adapters, as PEFT writes and reads it (peft/tuners/lora/config.py,
// version 0.21): which modules have an adapter, with which rank and scale. Module names are those
// of transformers ("model.layers.0.self_attn.q_proj"). Non-goals: PEFT's other methods, and options
// that change the mathematics in a way that Gradus does not compute; they are refused by name.
// Format: docs/format_adapter.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "text/tokenizer/regex.h"

namespace gradus {

enum class LoraBias { kNone, kAll, kLoraOnly };

constexpr int64_t kMaxLoraRank = 65536;

// A list names modules whole or by their last parts ("q_proj", "mlp.up_proj"); a pattern is a
// regular expression for the whole name. One of the two is empty.
struct LoraConfig {
  int64_t rank = 16;  // "r"
  double alpha = 32;  // "lora_alpha"
  bool use_rslora = false;
  bool use_dora = false;
  bool lora_bias = false;
  std::vector<std::string> target_modules = {};
  std::string target_pattern = {};  // "all-linear": every projection but the output's
  std::vector<std::string> target_parameters = {};  // stacked weights of experts
  std::vector<std::string> exclude_modules = {};
  std::string exclude_pattern = {};
  std::vector<int64_t> layers_to_transform = {};  // empty: all
  std::vector<std::string> layers_pattern = {};
  // Regular expressions for the end of a name; the first that fits gives the value.
  std::vector<std::pair<std::string, int64_t>> rank_pattern = {};
  std::vector<std::pair<std::string, double>> alpha_pattern = {};
  std::vector<std::string> modules_to_save = {};  // name ends of modules that are stored whole
  // Rows of embeddings that are replaced, by the end of the module's name; "" is the input's.
  std::vector<std::pair<std::string, std::vector<int64_t>>> trainable_tokens = {};
  LoraBias bias = LoraBias::kNone;
  bool ensure_weight_tying = false;
  std::string base_model = {};  // "base_model_name_or_path"
  std::string revision = {};    // of base_model, where that is a name on a hub
};

// Throws gradus::Error naming `where` and the key for what is missing, of the wrong type, out of
// bounds, contradictory, unknown, or known and not supported.
LoraConfig lora_config_from_json(const Json& json, const std::string& where);
Json lora_config_to_json(const LoraConfig& config);

enum class ModuleKind { kLinear, kOutput, kEmbedding };

// Answers for one module by name, as PEFT decides. Throws gradus::Error for a pattern that is not
// a regular expression.
class LoraRules {
 public:
  LoraRules(const LoraConfig& config, const std::string& where);

  bool is_target(const std::string& module, ModuleKind kind) const;
  // Whether target_parameters names this weight: "model.layers.0.mlp.experts.down_proj".
  bool is_target_parameter(const std::string& parameter) const;
  // Whether modules_to_save names the module of this tensor ("lm_head.weight") or one around it.
  bool is_saved(std::string tensor) const;
  int64_t rank(const std::string& module) const;
  double scale(const std::string& module) const;  // alpha / rank, or alpha / sqrt(rank)

 private:
  bool is_excluded(const std::string& module) const;
  bool is_in_chosen_layer(const std::string& module) const;

  LoraConfig config_;
  std::optional<Regex> target_, exclude_;
  std::vector<Regex> saved_, layers_;
  std::vector<std::pair<Regex, int64_t>> ranks_;
  std::vector<std::pair<Regex, double>> alphas_;
};

}  // namespace gradus
