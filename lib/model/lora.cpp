// SPDX-License-Identifier: Apache-2.0
#include "model/lora.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "base/hash.h"
#include "base/rng.h"
#include "model/folder.h"

namespace gradus {
namespace {

constexpr const char* kPrefix = "base_model.model.";

std::string last_part(const std::string& name) { return name.substr(name.rfind('.') + 1); }

// Kaiming-uniform with a = sqrt(5), as PEFT initialises A: uniform in ±1/sqrt(K). Each tensor has
// a stream of its own, so that the values do not depend on which others exist.
at::Tensor initial_a(int64_t rank, int64_t columns, uint64_t seed, const std::string& name) {
  at::Tensor a = at::empty({rank, columns}, at::kFloat);
  const double bound = 1.0 / std::sqrt(static_cast<double>(columns));
  const uint64_t stream = xxh3(name);
  auto* out = a.data_ptr<float>();
  for (int64_t i = 0; i < a.numel(); ++i) {
    out[i] = static_cast<float>((2 * random_uniform(seed, stream, static_cast<uint64_t>(i)) - 1) *
                                bound);
  }
  return a;
}

bool is_target(const LoraConfig& config, const std::string& name) {
  return std::find(config.target_modules.begin(), config.target_modules.end(), last_part(name)) !=
         config.target_modules.end();
}

at::Tensor merged_rows(const at::Tensor& rows, const LoraPair& pair) {
  return rows.to(at::kFloat) +
         at::matmul(pair.b.to(at::kFloat), pair.a.to(at::kFloat)) * pair.scale;
}

void merge_layer(Linear& layer) {
  for (size_t part = 0; part < layer.lora.size(); ++part) {
    const LoraPair& pair = layer.lora[part];
    if (!pair.a.defined()) continue;
    if (!layer.weight.defined())
      throw Error({.what = "an adapter cannot be merged into a quantised weight",
                   .where = layer.parts[part].name});
    at::Tensor rows =
        layer.weight.detach().narrow(0, layer.first_row(part), layer.parts[part].rows);
    rows.copy_(merged_rows(rows, pair));
  }
  layer.lora.clear();
}

LoraConfig read_adapter_config(const fs::path& folder) {
  const fs::path path = folder / "adapter_config.json";
  const Json json = read_json(path);
  const std::string where = path.string();
  LoraConfig config;
  const auto type = json_get<std::string>(json, "peft_type", where);
  if (type != "LORA")
    throw Error({.what = "adapter type is not supported",
                 .where = where,
                 .expected = "LORA",
                 .found = printable(type)});
  for (const char* key : {"use_dora", "fan_in_fan_out"}) {
    if (json_get<bool>(json, key, false, where))
      throw Error({.what = cat("adapter option '", key, "' is not supported"), .where = where});
  }
  for (const char* key : {"rank_pattern", "alpha_pattern"}) {
    if (json.contains(key) && !json.at(key).is_null() && !json.at(key).empty())
      throw Error({.what = cat("adapter option '", key, "' is not supported"), .where = where});
  }
  config.rank = json_get<int64_t>(json, "r", where);
  config.alpha = json_get<double>(json, "lora_alpha", where);
  config.rank_stabilised = json_get<bool>(json, "use_rslora", false, where);
  const Json targets = json_get<Json>(json, "target_modules", where);
  if (!targets.is_array() || config.rank < 1 || config.rank > 65536) {
    throw Error({.what = "adapter configuration is not usable",
                 .where = where,
                 .expected = "a list target_modules and a rank from 1 to 65536"});
  }
  for (const Json& target : targets) {
    if (!target.is_string()) json_wrong_type(target, "target_modules", "a list of names", where);
    config.target_modules.push_back(target.get<std::string>());
  }
  return config;
}

}  // namespace

double LoraConfig::scale() const {
  const auto r = static_cast<double>(rank);
  return alpha / (rank_stabilised ? std::sqrt(r) : r);
}

void attach_lora(Transformer& model, const LoraConfig& config, uint64_t seed) {
  std::set<std::string> unmatched(config.target_modules.begin(), config.target_modules.end()),
      known;
  model.for_each_linear([&](Linear& layer) {
    for (size_t part = 0; part < layer.parts.size(); ++part) {
      const std::string& name = layer.parts[part].name;
      known.insert(last_part(name));
      if (!is_target(config, name)) continue;
      unmatched.erase(last_part(name));
      layer.lora.resize(layer.parts.size());
      const auto options = at::TensorOptions().dtype(model.dtype()).device(model.device());
      layer.lora[part] = {initial_a(config.rank, layer.in_features, seed, name).to(options),
                          at::zeros({layer.parts[part].rows, config.rank}, options),
                          config.scale()};
    }
  });
  if (unmatched.empty()) return;
  std::string list;
  for (const std::string& name : known) list += (list.empty() ? "" : ", ") + name;
  throw Error(
      {.what = "adapter target '" + printable(*unmatched.begin()) + "' matches no projection",
       .expected = "some of " + list});
}

std::vector<NamedTensor> lora_tensors(const Transformer& model) {
  std::vector<NamedTensor> list;
  model.for_each_linear([&](const Linear& layer) {
    for (size_t part = 0; part < layer.lora.size(); ++part) {
      const LoraPair& pair = layer.lora[part];
      if (!pair.a.defined()) continue;
      list.push_back({layer.parts[part].name + ".lora_A.weight", pair.a.detach(), pair.a});
      list.push_back({layer.parts[part].name + ".lora_B.weight", pair.b.detach(), pair.b});
    }
  });
  return list;
}

void merge_lora(Transformer& model) {
  const at::NoGradGuard no_gradients;
  model.for_each_linear([](Linear& layer) { merge_layer(layer); });
}

void save_adapter(const fs::path& folder, const Transformer& model, const LoraConfig& config,
                  const std::string& base_model) {
  std::vector<at::Tensor> keep;
  std::vector<TensorToWrite> tensors;
  for (const NamedTensor& named : lora_tensors(model)) {
    keep.push_back(named.tensor.to(at::kCPU).contiguous());
    tensors.push_back(tensor_to_write(kPrefix + named.name, keep.back()));
  }
  write_safetensors(folder / "adapter_model.safetensors", tensors);
  write_json(folder / "adapter_config.json", Json{{"peft_type", "LORA"},
                                                  {"task_type", "CAUSAL_LM"},
                                                  {"base_model_name_or_path", base_model},
                                                  {"r", config.rank},
                                                  {"lora_alpha", config.alpha},
                                                  {"lora_dropout", 0.0},
                                                  {"use_rslora", config.rank_stabilised},
                                                  {"target_modules", config.target_modules},
                                                  {"bias", "none"},
                                                  {"inference_mode", true}});
}

LoraConfig load_adapter(Transformer& model, const fs::path& folder) {
  const LoraConfig config = read_adapter_config(folder);
  attach_lora(model, config, 0);
  const SafetensorsFile file(folder / "adapter_model.safetensors");
  const at::NoGradGuard no_gradients;
  size_t used = 0;
  for (const NamedTensor& named : lora_tensors(model)) {
    const std::string name = kPrefix + named.name, where = file.path().string() + ": " + name;
    const StoredTensor& stored = file.at(name);
    if (stored.shape != named.tensor.sizes().vec()) {
      throw Error({.what = "adapter tensor has the wrong shape",
                   .where = where,
                   .expected = c10::str(named.tensor.sizes()),
                   .found = c10::str(c10::IntArrayRef(stored.shape))});
    }
    at::Tensor target = named.tensor;
    target.copy_(view_of(stored, where));
    check_finite(target, where);
    ++used;
  }
  if (used != file.names().size()) {
    throw Error({.what = cat(file.names().size() - used,
                             " adapter tensor(s) match no projection of the model"),
                 .where = file.path().string()});
  }
  return config;
}

}  // namespace gradus
