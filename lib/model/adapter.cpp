// SPDX-License-Identifier: Apache-2.0
#include "model/adapter.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "model/adapter_experts.h"
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

// Whether `name` of trainable_token_indices means this module.
bool fits_tokens(const std::string& name, const std::string& module, const Transformer& model) {
  return name.empty() ? module == embedding_module(model)
                      : module == name || module.ends_with("." + name);
}

// The tokens whose rows `module` replaces, or null.
const std::vector<int64_t>* find_tokens(const Adapter& adapter, const Transformer& model,
                                        const std::string& module) {
  for (const auto& [name, ids] : adapter.config.trainable_tokens) {
    if (fits_tokens(name, module, model)) return &ids;
  }
  return nullptr;
}

// The checks of attach_adapter, in the order of the model.
class Fit {
 public:
  Fit(Transformer& model, const Adapter& adapter, const LoraRules& rules,
      const ExpertPairs& experts)
      : model_(model), adapter_(adapter), rules_(rules), experts_(experts), misfits_(adapter) {
    for (const std::string& line : experts.misfits) misfits_.add(line);
  }

  void check() {
    for_each_adaptable(model_, [&](const AdaptablePart& at) { check_part(at); });
    check_embeddings();
    for (const auto& [module, pair] : adapter_.pairs) {
      if (!seen_.contains(module)) misfits_.add(printable(module) + " is no projection of it");
    }
    check_tensors();
    check_saved();
    check_tokens();
    if (adapter_.config.ensure_weight_tying && model_.config().tie_word_embeddings)
      misfits_.add("option 'ensure_weight_tying' is not supported");
    misfits_.raise_if_any();
  }

 private:
  void check_part(const AdaptablePart& at) {
    const auto& [name, rows] = at.name();
    seen_.insert(name);
    const auto found = adapter_.pairs.find(name);
    const bool target = rules_.is_target(name, at.kind) || experts_.pairs.contains(name);
    if (found == adapter_.pairs.end()) {
      if (target && !is_left_out(name))
        misfits_.add("nothing is stored for " + name + ", which target_modules names");
      return;
    }
    if (!target) misfits_.add(name + " has an adapter, but target_modules does not name it");
    const LoraPair& pair = found->second;
    misfits_.expect(name + ".lora_A", {pair.a.size(0), at.layer.in_features}, pair.a);
    misfits_.expect(name + ".lora_B", {rows, pair.b.size(1)}, pair.b);
    if (pair.bias.defined()) misfits_.expect(name + ".lora_B.bias", {rows}, pair.bias);
    if (!pair.magnitude.defined()) return;
    misfits_.expect(name + ".lora_magnitude_vector", {rows}, pair.magnitude);
    if (at.layer.quantized) misfits_.add("use_dora needs the weights that are quantised: " + name);
  }

  // Transformers 5 stacks the experts, and PEFT then finds none of their projections by name: an
  // adapter may leave out all of them.
  bool is_left_out(const std::string& name) const {
    const std::string& experts = model_.config().names.experts;
    return name.find("." + experts) != name.npos &&
           std::none_of(adapter_.pairs.begin(), adapter_.pairs.end(), [&](const auto& entry) {
             return entry.first.find("." + experts) != std::string::npos;
           });
  }

  void check_embeddings() {
    const std::string own = embedding_module(model_);
    if (rules_.is_target(own, ModuleKind::kEmbedding) && !adapter_.embeddings.contains(own))
      misfits_.add("nothing is stored for " + own + ", which target_modules names");
    for (const auto& [module, pair] : adapter_.embeddings) {
      if (module != own) misfits_.add(printable(module) + " is not the embedding");
      if (pair.magnitude.defined())
        misfits_.expect(module + ".lora_magnitude_vector", {model_.embedding.size(1)},
                        pair.magnitude);
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

  void check_tokens() {
    const std::string input = embedding_module(model_), output = model_.output.parts[0].name;
    for (const auto& [module, rows] : adapter_.token_rows) {
      if (module != input && module != output) misfits_.add(printable(module) + " is no embedding");
      if (adapter_.embeddings.contains(module) || adapter_.pairs.contains(module))
        misfits_.add(module + " has an adapter and trainable tokens");
      if (!find_tokens(adapter_, model_, module))
        misfits_.add(printable(module) + " has rows that trainable_token_indices does not name");
    }
    for (const auto& [name, ids] : adapter_.config.trainable_tokens) check_rows(name, ids);
  }

  void check_rows(const std::string& name, const std::vector<int64_t>& ids) {
    const auto found =
        std::find_if(adapter_.token_rows.begin(), adapter_.token_rows.end(),
                     [&](const auto& entry) { return fits_tokens(name, entry.first, model_); });
    // Of two that share a weight, PEFT stores the embedding.
    if (found == adapter_.token_rows.end() &&
        !(model_.config().tie_word_embeddings && !name.empty()))
      misfits_.add("nothing is stored for trainable_token_indices " + printable(name));
    if (found == adapter_.token_rows.end()) return;
    const auto count = static_cast<int64_t>(ids.size());
    misfits_.expect(found->first + ": trainable_tokens_delta", {count, model_.embedding.size(1)},
                    found->second);
    const int64_t V = model_.embedding.size(0);
    if (std::any_of(ids.begin(), ids.end(), [&](int64_t id) { return id >= V; }))
      misfits_.add(cat("trainable_token_indices names a token outside of ", V));
  }

  Transformer& model_;
  const Adapter& adapter_;
  const LoraRules& rules_;
  const ExpertPairs& experts_;
  Misfits misfits_;
  std::set<std::string> seen_;
};

LoraPair placed(const LoraPair& pair, c10::Device device) {
  const auto moved = [&](const at::Tensor& tensor) {
    return tensor.defined() ? tensor.to(device) : tensor;
  };
  return {moved(pair.a), moved(pair.b), pair.scale, moved(pair.magnitude), moved(pair.bias)};
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

// A tied output follows the embedding unless it has rows of its own.
void replace_tokens(Transformer& model, const Adapter& adapter) {
  const std::string& output = model.output.parts[0].name;
  if (adapter.token_rows.contains(output)) model.untie_output();
  for (const auto& [module, rows] : adapter.token_rows) {
    at::Tensor target = (module == output ? model.output.weight : model.embedding).detach();
    const std::vector<int64_t>& ids = *find_tokens(adapter, model, module);
    for (size_t i = 0; i < ids.size(); ++i)
      target.select(0, ids[i]).copy_(rows.select(0, static_cast<int64_t>(i)));
  }
}

}  // namespace

void attach_adapter(Transformer& model, const Adapter& stored) {
  const at::NoGradGuard no_gradients;
  const LoraRules rules(stored.config, stored.place + "/adapter_config.json");
  const ExpertPairs experts = split_stacked(stored, rules, model);
  Adapter adapter = stored;
  adapter.pairs.insert(experts.pairs.begin(), experts.pairs.end());
  Fit(model, adapter, rules, experts).check();
  replace_tensors(model, adapter);
  replace_tokens(model, adapter);
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
