// SPDX-License-Identifier: Apache-2.0
// Typed access to one config.json for the families. It remembers which keys were looked at, so
// that a key that changes the mathematics and that a family does not know is refused.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "model/config.h"

namespace gradus {

class ConfigReader {
 public:
  // `defaults`: values of keys that the file leaves out.
  ConfigReader(const Json& json, std::string where, Json defaults = Json::object())
      : json_(json), defaults_(std::move(defaults)), where_(std::move(where)) {}

  // Present and not null. Counts as looked at, like every read below.
  bool has(const std::string& key) const;
  // Sizes are at least 1 and bounded, so that they can be multiplied and allocated after checks.
  int64_t size(const std::string& key) const;
  int64_t size(const std::string& key, int64_t fallback) const;
  int64_t layers(const std::string& key) const;  // a size that a list for every layer may have
  double number(const std::string& key, double fallback) const;
  bool flag(const std::string& key, bool fallback) const;
  std::string text(const std::string& key, const std::string& fallback) const;
  const Json& at(const std::string& key) const;  // has(key)
  // One of the names; `names` pairs each with its value.
  Activation activation(const std::string& key, const std::string& fallback) const;
  // One number or a list of numbers; empty when absent.
  std::vector<int64_t> integers(const std::string& key) const;

  // Throws that `key` has a value that cannot be computed.
  [[noreturn]] void refuse(const std::string& key, const std::string& expected = "") const;
  void refuse_if(bool condition, const std::string& key, const std::string& expected = "") const;
  // The key is absent or has the value that changes nothing.
  void expect_flag(const std::string& key, bool value, bool fallback) const;
  // Marks keys as known although they change nothing here.
  void accept(const std::vector<std::string>& keys) const;
  // Throws naming a key that was not looked at, changes the mathematics in some family, and does
  // not have the value that changes nothing.
  void refuse_unknown_mathematics() const;

  ConfigReader inside(const std::string& key) const;  // of an object
  const Json& json() const { return json_; }
  const std::string& where() const { return where_; }

 private:
  int64_t bounded(const std::string& key, int64_t most) const;
  const Json& holder(const std::string& key) const {
    return json_.contains(key) ? json_ : defaults_;
  }

  const Json& json_;
  Json defaults_;
  std::string where_;
  mutable std::set<std::string> seen_;
};

// rope_parameters (transformers 5), or rope_theta with rope_scaling (before), for heads of
// config.head_dim. `partial` is the rotated share where neither names one; families that rotate all
// of a head refuse another share.
enum class RotatedShare { kWhole, kAny };
struct RopeDefaults {
  double theta = 10000.0;
  RotatedShare share = RotatedShare::kWhole;
  double partial = 1.0;
  bool interleaved = false;
};
RopeConfig read_rope(const ConfigReader& reader, const ModelConfig& config,
                     const RopeDefaults& defaults);
// One object of rope parameters, completed from `base`.
RopeConfig read_rope_parameters(const ConfigReader& part, const ModelConfig& config,
                                RopeConfig base);

// hidden_size, intermediate_size, … under their usual names, the norm's epsilon under `eps_key`.
void read_usual_sizes(const ConfigReader& reader, ModelConfig& config, const char* eps_key,
                      double eps);
// `sliding_window` for every layer from `first` on, then layer_types where the file has them.
void read_windows(const ConfigReader& reader, ModelConfig& config, int64_t first);
// The same, but every `pattern`-th layer sees everything where layer_types does not say which.
void read_alternating_windows(const ConfigReader& reader, ModelConfig& config, int64_t pattern);
// Every layer rotates by ropes[0].
void use_one_rope(ModelConfig& config, RopeConfig rope);

}  // namespace gradus
