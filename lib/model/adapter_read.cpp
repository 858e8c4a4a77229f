// SPDX-License-Identifier: Apache-2.0
#include <ATen/core/Tensor.h>

#include <array>

#include "base/error.h"
#include "model/adapter.h"
#include "model/adapter_experts.h"
#include "model/folder.h"

namespace gradus {
namespace {

constexpr const char* kPrefix = "base_model.model.";
constexpr const char* kWeights = "adapter_model.safetensors";
constexpr uintmax_t kMaxConfigBytes = 16 << 20;

// What a name in the file means: its ending, and what is filled.
enum class Role { kA, kB, kBias, kEmbeddingA, kEmbeddingB, kMagnitude, kTokens, kWhole };

struct Ending {
  const char* text;
  Role role;
  const char* replacement;  // of the ending, for tensors that are stored whole
};

constexpr std::array kEndings = {Ending{".lora_A.weight", Role::kA, ""},
                                 Ending{".lora_B.weight", Role::kB, ""},
                                 Ending{".lora_B.bias", Role::kBias, ""},
                                 Ending{".lora_embedding_A", Role::kEmbeddingA, ""},
                                 Ending{".lora_embedding_B", Role::kEmbeddingB, ""},
                                 Ending{".lora_magnitude_vector", Role::kMagnitude, ""},
                                 Ending{".lora_magnitude_vector.weight", Role::kMagnitude, ""},
                                 Ending{".token_adapter.trainable_tokens_delta", Role::kTokens, ""},
                                 Ending{".base_layer.weight", Role::kWhole, ".weight"},
                                 Ending{".base_layer.bias", Role::kWhole, ".bias"}};

LoraConfig read_config(const fs::path& folder) {
  const fs::path path = folder / "adapter_config.json";
  if (fs::file_size(path) > kMaxConfigBytes)
    throw Error({.what = "is too large for an adapter's configuration", .where = path.string()});
  return lora_config_from_json(read_json(path), path.string());
}

// A tensor of its own: the file is unmapped when it has been read.
at::Tensor taken(const StoredTensor& stored, const std::string& where) {
  const at::Tensor view = view_of(stored, where);
  if (!view.is_floating_point())
    throw Error({.what = "is not a tensor of real numbers", .where = where, .found = stored.dtype});
  at::Tensor own = view.to(at::kFloat, /*non_blocking=*/false, /*copy=*/true);
  check_finite(own, where);
  return own;
}

// The module's name in the base. Wrapped models have more before it: an adapter of a model that was
// an adapter's, or one that was compiled or trained in parts.
std::string name_in_base(std::string name) {
  while (name.starts_with(kPrefix)) name.erase(0, std::string_view(kPrefix).size());
  for (const std::string_view wrapper : {"_orig_mod.", "_fsdp_wrapped_module."}) {
    for (size_t at = name.find(wrapper); at != name.npos; at = name.find(wrapper))
      name.erase(at, wrapper.size());
  }
  return name;
}

class Reader {
 public:
  explicit Reader(const fs::path& folder)
      : adapter_{.place = folder.string(),
                 .config = read_config(folder),
                 .pairs = {},
                 .embeddings = {},
                 .stacked = {},
                 .token_rows = {},
                 .tensors = {}},
        file_(folder / kWeights) {}

  Adapter read() {
    for (const std::string& name : file_.names()) add(name);
    take_embedding_magnitudes();
    const LoraRules rules(adapter_.config, adapter_.place + "/adapter_config.json");
    take_stacked(rules);
    for (auto& [module, pair] : adapter_.pairs) finish(module, pair, rules);
    for (auto& [module, pair] : adapter_.embeddings) finish(module, pair, rules);
    for (auto& [parameter, pair] : adapter_.stacked) finish(parameter, pair, rules);
    if (adapter_.pairs.empty() && adapter_.embeddings.empty() && adapter_.stacked.empty() &&
        adapter_.token_rows.empty())
      throw Error({.what = "holds no adapter", .where = file_.path().string()});
    return std::move(adapter_);
  }

 private:
  std::string place(const std::string& name) const { return file_.path().string() + ": " + name; }

  void add(const std::string& stored_name) {
    if (!stored_name.starts_with(kPrefix))
      throw Error({.what = "is not a tensor of an adapter",
                   .where = place(printable(stored_name)),
                   .expected = std::string("a name that starts with ") + kPrefix});
    const std::string name = name_in_base(stored_name);
    for (const Ending& ending : kEndings) {
      if (!name.ends_with(ending.text)) continue;
      const std::string module = name.substr(0, name.size() - std::string(ending.text).size());
      return put(stored_name, slot(module, ending));
    }
    if (name.find(".lora_") != name.npos || name.find(".token_adapter.") != name.npos)
      throw Error({.what = "this kind of tensor is not supported", .where = place(stored_name)});
    put(stored_name, adapter_.tensors[name]);
  }

  at::Tensor& slot(const std::string& module, const Ending& ending) {
    switch (ending.role) {
      case Role::kA:
        return adapter_.pairs[module].a;
      case Role::kB:
        return adapter_.pairs[module].b;
      case Role::kBias:
        return adapter_.pairs[module].bias;
      case Role::kMagnitude:
        return adapter_.pairs[module].magnitude;
      case Role::kTokens:
        return adapter_.token_rows[module];
      case Role::kEmbeddingA:
        return adapter_.embeddings[module].a;
      case Role::kEmbeddingB:
        return adapter_.embeddings[module].b;
      case Role::kWhole:
        break;
    }
    return adapter_.tensors[module + ending.replacement];
  }

  void put(const std::string& stored_name, at::Tensor& target) const {
    if (target.defined())
      throw Error({.what = "is stored twice under two names", .where = place(stored_name)});
    target = taken(file_.at(stored_name), place(stored_name));
  }

  // The name of a magnitude does not say whether it belongs to an embedding.
  void take_embedding_magnitudes() {
    for (auto& [module, pair] : adapter_.embeddings) {
      const auto found = adapter_.pairs.find(module);
      if (found == adapter_.pairs.end() || found->second.a.defined()) continue;
      pair.magnitude = found->second.magnitude;
      adapter_.pairs.erase(found);
    }
  }

  // PEFT wraps a module once for each of its adapted weights, so the names say how deep each lies.
  void take_stacked(const LoraRules& rules) {
    constexpr std::string_view kInner = ".base_layer";
    for (auto entry = adapter_.pairs.begin(); entry != adapter_.pairs.end();) {
      std::string module = entry->first;
      size_t depth = 0;
      for (; module.ends_with(kInner); ++depth) module.erase(module.size() - kInner.size());
      std::vector<std::string> adapted = stacked_parameters(module);
      std::erase_if(adapted, [&](const auto& name) { return !rules.is_target_parameter(name); });
      if (depth < adapted.size()) {
        adapter_.stacked[adapted[adapted.size() - 1 - depth]] = entry->second;
        entry = adapter_.pairs.erase(entry);
      } else {
        ++entry;
      }
    }
  }

  void finish(const std::string& module, LoraPair& pair, const LoraRules& rules) const {
    const std::string where = place(module);
    if (!pair.a.defined() || !pair.b.defined())
      throw Error(
          {.what = pair.a.defined() ? "lora_B is missing" : "lora_A is missing", .where = where});
    if (pair.bias.defined() != (adapter_.config.lora_bias && !adapter_.embeddings.contains(module)))
      throw Error({.what = adapter_.config.lora_bias ? "lora_B.bias is missing"
                                                     : "has a lora_B.bias, but lora_bias is off",
                   .where = where});
    const int64_t r = rules.rank(module);
    const bool stacked = adapter_.stacked.contains(module);
    const bool matrices = pair.a.dim() == 2 && pair.b.dim() == 2 && pair.a.numel() > 0;
    if (!matrices || pair.a.size(0) != pair.b.size(1) ||
        (stacked ? pair.a.size(0) % r != 0 : pair.a.size(0) != r))
      throw Error({.what = "has another rank than adapter_config.json says",
                   .where = where,
                   .expected = cat("lora_A [", r, ", in] and lora_B [out, ", r, "]"),
                   .found = c10::str(pair.a.sizes(), " and ", pair.b.sizes())});
    if (pair.magnitude.defined() != adapter_.config.use_dora)
      throw Error({.what = adapter_.config.use_dora ? "lora_magnitude_vector is missing"
                                                    : "has a magnitude, but use_dora is off",
                   .where = where});
    pair.scale = rules.scale(module);
  }

  Adapter adapter_;
  SafetensorsFile file_;
};

}  // namespace

void require_adapter_folder(const fs::path& folder) {
  const auto has = [&](const char* name) { return fs::exists(folder / name); };
  if (!fs::is_directory(folder))
    throw Error({.what = "is not a folder", .where = folder.string(), .expected = "an adapter"});
  if (!has("adapter_config.json"))
    throw Error({.what = has("config.json") ? "is a model, not an adapter"
                                            : "is not an adapter: it has no adapter_config.json",
                 .where = folder.string()});
  if (has(kWeights)) return;
  const std::string bin = (folder / "adapter_model.bin").string();
  if (!has("adapter_model.bin"))
    throw Error({.what = cat("has no ", kWeights), .where = folder.string()});
  throw Error({.what = "pickles can run code and are not read",
               .where = bin,
               .hint = "convert it: python -c \"import torch, safetensors.torch as s; "
                       "s.save_file({k: v.contiguous() for k, v in torch.load('" +
                       bin + "', weights_only=True).items()}, '" + (folder / kWeights).string() +
                       "')\""});
}

Adapter read_adapter(const fs::path& folder) {
  require_adapter_folder(folder);
  return Reader(folder).read();
}

}  // namespace gradus
