// SPDX-License-Identifier: Apache-2.0
#include "model/adapter.h"

#include <ATen/core/grad_mode.h>

#include <set>

#include "base/error.h"
#include "model/folder.h"

namespace gradus {
namespace {

constexpr const char* kPrefix = "base_model.model.";

// What does not fit, reported as one line: the first, and how many there are.
class Misfits {
 public:
  explicit Misfits(const Adapter& adapter) : place_(adapter.place) {}
  void add(const std::string& line) {
    if (count_++ == 0) first_ = line;
  }
  void expect(const std::string& name, at::IntArrayRef expected, const at::Tensor& found) {
    if (!found.sizes().equals(expected))
      add(c10::str(name, " has shape ", found.sizes(), ", the model needs ", expected));
  }
  void raise_if_any() const {
    if (count_ == 0) return;
    const std::string more = count_ > 1 ? cat(" (and ", count_ - 1, " more)") : "";
    throw Error({.what = "the adapter does not fit the model: " + first_ + more,
                 .where = place_,
                 .hint = "is it for another base?"});
  }

 private:
  std::string place_, first_;
  size_t count_ = 0;
};

// The checks of attach_adapter, in the order of the model.
class Fit {
 public:
  Fit(Transformer& model, const Adapter& adapter)
      : model_(model),
        adapter_(adapter),
        rules_(adapter.config, adapter.place + "/adapter_config.json"),
        misfits_(adapter) {}

  void check() {
    for_each_adaptable(model_, [&](const AdaptablePart& at) { check_part(at); });
    check_embeddings();
    for (const auto& [module, pair] : adapter_.pairs) {
      if (!seen_.contains(module)) misfits_.add(printable(module) + " is no projection of it");
    }
    check_tensors();
    check_saved();
    if (adapter_.config.ensure_weight_tying && model_.config().tie_word_embeddings)
      misfits_.add("option 'ensure_weight_tying' is not supported");
    misfits_.raise_if_any();
  }

 private:
  void check_part(const AdaptablePart& at) {
    const auto& [name, rows] = at.name();
    seen_.insert(name);
    const auto found = adapter_.pairs.find(name);
    const bool target = rules_.is_target(name, at.kind);
    if (found == adapter_.pairs.end()) {
      if (target) misfits_.add("nothing is stored for " + name + ", which target_modules names");
      return;
    }
    if (!target) misfits_.add(name + " has an adapter, but target_modules does not name it");
    const LoraPair& pair = found->second;
    misfits_.expect(name + ".lora_A", {pair.a.size(0), at.layer.in_features}, pair.a);
    misfits_.expect(name + ".lora_B", {rows, pair.b.size(1)}, pair.b);
    if (!pair.magnitude.defined()) return;
    misfits_.expect(name + ".lora_magnitude_vector", {rows}, pair.magnitude);
    if (at.layer.quantized) misfits_.add("use_dora needs the weights that are quantised: " + name);
  }

  void check_embeddings() {
    const std::string own = embedding_module(model_);
    if (rules_.is_target(own, ModuleKind::kEmbedding) && !adapter_.embeddings.contains(own))
      misfits_.add("nothing is stored for " + own + ", which target_modules names");
    for (const auto& [module, pair] : adapter_.embeddings) {
      if (module != own) misfits_.add(printable(module) + " is not the embedding");
      if (pair.magnitude.defined() || adapter_.config.use_dora)
        misfits_.add("use_dora on the embedding is not supported");
      misfits_.expect(module + ".lora_embedding_A", {pair.a.size(0), model_.embedding.size(0)},
                      pair.a);
      misfits_.expect(module + ".lora_embedding_B", {model_.embedding.size(1), pair.b.size(1)},
                      pair.b);
    }
  }

  void check_tensors() {
    std::map<std::string, at::Tensor> own;
    for (const NamedTensor& named : model_.named_tensors()) own[named.name] = named.tensor;
    const std::string output = model_.output.parts[0].name + ".weight";
    if (!own.contains(output)) own[output] = model_.embedding;
    for (const auto& [name, tensor] : adapter_.tensors) {
      if (own.contains(name)) {
        misfits_.expect(name, own[name].sizes(), tensor);
      } else {
        misfits_.add(printable(name) + " is no tensor of it");
      }
    }
  }

  void check_saved() {
    for (const std::string& wanted : adapter_.config.modules_to_save) {
      LoraConfig one = adapter_.config;
      one.modules_to_save = {wanted};
      const LoraRules rules(one, adapter_.place);
      bool found = false;
      for (const auto& [name, tensor] : adapter_.tensors) found |= rules.is_saved(name);
      if (!found) misfits_.add("nothing is stored for modules_to_save '" + printable(wanted) + "'");
    }
  }

  Transformer& model_;
  const Adapter& adapter_;
  LoraRules rules_;
  Misfits misfits_;
  std::set<std::string> seen_;
};

LoraPair placed(const LoraPair& pair, c10::Device device) {
  const auto moved = [&](const at::Tensor& tensor) {
    return tensor.defined() ? tensor.to(device) : tensor;
  };
  return {moved(pair.a), moved(pair.b), pair.scale, moved(pair.magnitude)};
}

void attach_pairs(Transformer& model, const Adapter& adapter) {
  for_each_adaptable(model, [&](const AdaptablePart& at) {
    const auto found = adapter.pairs.find(at.name().name);
    if (found != adapter.pairs.end()) at.pair() = placed(found->second, model.device());
  });
  for (const auto& [module, pair] : adapter.embeddings)
    model.embedding_lora = placed(pair, model.device());
}

// modules_to_save trains a copy: a tied output and the embedding then differ.
void replace_tensors(Transformer& model, const Adapter& adapter) {
  const LoraRules rules(adapter.config, adapter.place);
  const std::string output = model.output.parts[0].name + ".weight";
  if (rules.is_saved(output) || rules.is_saved(embedding_module(model) + ".weight"))
    model.untie_output();
  for (const NamedTensor& named : model.named_tensors()) {
    const auto found = adapter.tensors.find(named.name);
    if (found == adapter.tensors.end()) continue;
    at::Tensor target = named.tensor;
    target.copy_(found->second);
  }
  const auto tied = adapter.tensors.find(output);
  if (model.config().tie_word_embeddings && tied != adapter.tensors.end())
    model.embedding.detach().copy_(tied->second);
}

}  // namespace

void attach_adapter(Transformer& model, const Adapter& adapter) {
  const at::NoGradGuard no_gradients;
  Fit(model, adapter).check();
  replace_tensors(model, adapter);
  attach_pairs(model, adapter);
}

void save_adapter(const fs::path& folder, const Transformer& model, const LoraConfig& config) {
  std::vector<NamedTensor> list = lora_tensors(model);
  const auto saved = saved_tensors(model, LoraRules(config, folder.string()));
  list.insert(list.end(), saved.begin(), saved.end());
  std::vector<at::Tensor> keep;
  std::vector<TensorToWrite> tensors;
  for (const NamedTensor& named : list) {
    keep.push_back(named.tensor.to(at::kCPU).contiguous());
    tensors.push_back(tensor_to_write(kPrefix + named.name, keep.back()));
  }
  write_safetensors(folder / "adapter_model.safetensors", tensors);
  write_json(folder / "adapter_config.json", lora_config_to_json(config));
}

}  // namespace gradus
