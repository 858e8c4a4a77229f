// SPDX-License-Identifier: Apache-2.0
#include "model/adapter_experts.h"

#include <algorithm>

#include "base/error.h"

namespace gradus {
namespace {

// What transformers calls the experts of a layer: where it stacks them, unlike files, the same in
// every family.
std::string experts_module(const TensorNames& names) {
  if (names.stacked.empty()) return "mlp.experts";
  return names.experts.substr(0, names.experts.size() - 1);
}

// In transformers, of every family but that one.
constexpr const char* kRouter = "mlp.gate.weight";

// A weight of all experts of one layer, and what it is called for one of them.
struct Stack {
  std::string parameter;
  std::string before_number;        // "model.layers.0.mlp.experts."
  std::vector<std::string> leaves;  // "gate_proj", "up_proj": parts of the rows, of one size
};

std::vector<Stack> stacks_of(const ModelConfig& config) {
  std::vector<Stack> stacks;
  for (size_t i = 0; i < config.layer_moe.size(); ++i) {
    if (config.layer_moe[i] == 0) continue;
    const std::string layer = config.names.layer(static_cast<int64_t>(i));
    const auto parameters = stacked_parameters(layer + experts_module(config.names));
    const std::string before = layer + config.names.experts;
    stacks.push_back({parameters[0], before, config.names.expert_gate_up});
    stacks.push_back({parameters[1], before, {config.names.expert_down}});
  }
  return stacks;
}

// The pairs of one stack; a rank runs over the experts in A's rows and B's columns: [E, r] in A,
// [r, E] in B.
void split(const Stack& stack, const LoraPair& pair, int64_t E, ExpertPairs& result) {
  const int64_t r = pair.a.size(0) / E;
  const auto parts = static_cast<int64_t>(stack.leaves.size()), rows = pair.b.size(0) / parts;
  if (r * E != pair.a.size(0) || rows * parts != pair.b.size(0)) {
    result.misfits.push_back(c10::str(stack.parameter, " has an adapter ", pair.a.sizes(), " and ",
                                      pair.b.sizes(), ", the model has ", E, " experts"));
    return;
  }
  const at::Tensor a = pair.a.reshape({E, r, pair.a.size(1)});
  const at::Tensor b = pair.b.reshape({parts, rows, r, E});
  for (int64_t e = 0; e < E; ++e) {
    for (int64_t part = 0; part < parts; ++part) {
      const std::string name =
          cat(stack.before_number, e, ".", stack.leaves[static_cast<size_t>(part)]);
      result.pairs[name] = {.a = a.select(0, e),
                            .b = b.select(0, part).select(2, e).contiguous(),
                            .scale = pair.scale};
    }
  }
}

// Whether `name` of target_parameters means this weight.
bool means(const std::string& name, const std::string& weight) {
  return weight == name || weight.ends_with("." + name);
}

bool is_router(const std::string& name, const ModelConfig& config) {
  for (size_t i = 0; i < config.layer_moe.size(); ++i) {
    const std::string layer = config.names.layer(static_cast<int64_t>(i));
    const bool here =
        means(name, layer + kRouter) || means(name, layer + config.names.router + ".weight");
    if (config.layer_moe[i] != 0 && here) return true;
  }
  return false;
}

// PEFT adapts any weight that target_parameters names.
void refuse_other_weight(const Adapter& adapter, const std::string& name,
                         const Transformer& model) {
  const auto tensors = model.named_tensors();
  const bool router = is_router(name, model.config());
  if (!router && std::none_of(tensors.begin(), tensors.end(),
                              [&](const NamedTensor& named) { return means(name, named.name); }))
    return;
  throw Error({.what = cat("an adapter of ", router ? "a router" : "this weight",
                           " is not supported: target_parameters names ", printable(name)),
               .where = adapter.place,
               .expected = std::string("weights of stacked experts only"),
               .hint = "merge it with PEFT (merge_and_unload) and use that model"});
}

}  // namespace

std::vector<std::string> stacked_parameters(const std::string& module) {
  return {module + ".gate_up_proj", module + ".down_proj"};
}

ExpertPairs split_stacked(const Adapter& adapter, const LoraRules& rules,
                          const Transformer& model) {
  ExpertPairs result;
  const std::vector<Stack> stacks = stacks_of(model.config());
  for (const std::string& name : adapter.config.target_parameters) {
    if (std::any_of(stacks.begin(), stacks.end(),
                    [&](const Stack& stack) { return means(name, stack.parameter); }))
      continue;
    refuse_other_weight(adapter, name, model);
    result.misfits.push_back("target_parameters names " + printable(name) +
                             ", which is no weight of its experts");
  }
  size_t used = 0;
  for (const Stack& stack : stacks) {
    const auto found = adapter.stacked.find(stack.parameter);
    if (found != adapter.stacked.end()) {
      ++used;
      split(stack, found->second, model.config().moe.experts, result);
    } else if (rules.is_target_parameter(stack.parameter)) {
      result.misfits.push_back("nothing is stored for " + stack.parameter +
                               ", which target_parameters names");
    }
  }
  if (used < adapter.stacked.size())
    result.misfits.push_back("target_parameters names weights that it does not have, such as " +
                             printable(adapter.stacked.begin()->first));
  return result;
}

}  // namespace gradus
