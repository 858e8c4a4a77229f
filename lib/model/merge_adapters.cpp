// SPDX-License-Identifier: Apache-2.0
#include "model/merge_adapters.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include <cmath>

#include "base/error.h"
#include "base/rng.h"
#include "model/folder.h"
#include "model/merge_tensors.h"

namespace gradus {
namespace {

using Pairs = std::map<std::string, LoraPair>;

void refuse(const Adapter& adapter, const std::string& what) {
  throw Error({.what = what + " cannot be combined with other adapters", .where = adapter.place});
}

void check_combinable(const Adapter& adapter) {
  const LoraConfig& config = adapter.config;
  if (config.use_dora) refuse(adapter, "an adapter with magnitudes (use_dora)");
  if (config.bias != LoraBias::kNone) refuse(adapter, "an adapter with biases");
  if (config.lora_bias) refuse(adapter, "an adapter with biases (lora_bias)");
  if (!config.target_parameters.empty()) refuse(adapter, "an adapter of stacked experts");
  if (!config.trainable_tokens.empty()) refuse(adapter, "an adapter with trainable tokens");
  if (!config.modules_to_save.empty()) refuse(adapter, "an adapter with modules_to_save");
}

// The adapters' pairs of one module, with the weights that apply to A and to B.
struct Terms {
  std::vector<MergeTerm> a, b;
};

Terms terms_of(const std::vector<WeightedAdapter>& parts, Pairs Adapter::*pairs,
               const std::string& module) {
  Terms terms;
  for (const WeightedAdapter& part : parts) {
    const auto found = (part.adapter.*pairs).find(module);
    if (found == (part.adapter.*pairs).end()) continue;
    const LoraPair& pair = found->second;
    const double weight = part.weight * pair.scale, root = std::sqrt(std::abs(weight));
    terms.a.push_back({pair.a, weight < 0 ? -root : root, part.density});
    terms.b.push_back({pair.b, root, part.density});
    if (pair.a.size(1) != terms.a[0].tensor.size(1) || pair.b.size(0) != terms.b[0].tensor.size(0))
      throw Error({.what = "the adapters are for different models: " + module,
                   .where = part.adapter.place});
  }
  return terms;
}

LoraPair concatenated(const Terms& terms) {
  std::vector<at::Tensor> a, b;
  for (const MergeTerm& term : terms.a)
    a.push_back(term.tensor * (term.weight * std::abs(term.weight)));
  for (const MergeTerm& term : terms.b) b.push_back(term.tensor);
  return {at::cat(a, 0), at::cat(b, 1), 1.0, {}};
}

LoraPair combined(const Terms& terms, MergeMethod method, uint64_t seed,
                  const std::string& module) {
  if (method == MergeMethod::kCat) return concatenated(terms);
  for (const MergeTerm& term : terms.a) {
    if (term.tensor.size(0) == terms.a[0].tensor.size(0)) continue;
    throw Error({.what = "method " + to_string(method) + " needs adapters of one rank",
                 .where = module,
                 .expected = cat(terms.a[0].tensor.size(0)),
                 .found = cat(term.tensor.size(0)),
                 .hint = "method: cat takes any"});
  }
  return {combine_as_peft(method, terms.a, {seed, module + ".lora_A"}),
          combine_as_peft(method, terms.b, {seed, module + ".lora_B"}),
          1.0,
          {}};
}

// Copies of base tensors that adapters of embeddings bring with them: they must agree.
void take_tensors(Adapter& result, const Adapter& part) {
  for (const auto& [name, tensor] : part.tensors) {
    const auto [entry, is_new] = result.tensors.emplace(name, tensor);
    if (!is_new && !entry->second.equal(tensor)) refuse(part, "another " + name);
  }
}

// A fixed sequence: what is compared is the same for every merge.
at::Tensor fixed_logits(const Transformer& model) {
  const int64_t T = std::min<int64_t>(32, model.config().max_position_embeddings);
  at::Tensor ids = at::empty({T}, at::kLong);
  for (int64_t i = 0; i < T; ++i)
    ids.data_ptr<int64_t>()[i] =
        static_cast<int64_t>(random_bits(0, 0, static_cast<uint64_t>(i)) %
                             static_cast<uint64_t>(model.config().vocab_size));
  PackedAttention attention({0, T});
  const auto options = at::TensorOptions().dtype(at::kLong).device(model.device());
  const at::Tensor hidden =
      model.forward(ids.to(model.device()), at::arange(T, options), attention);
  return model.logits(hidden).to(at::kCPU);
}

// The largest difference that the order of fp32 sums explains, as a share of the largest logit.
constexpr double kMergeTolerance = 1e-3;

double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

void round_to(Transformer& model, c10::ScalarType stored) {
  for (const NamedTensor& named : model.named_tensors()) {
    if (named.is_buffer) continue;  // stays fp32 in files
    at::Tensor target = named.tensor;
    target.copy_(target.to(stored));
    check_finite(target, named.name + " in " + c10::toString(stored));
  }
}

}  // namespace

Adapter combine_adapters(std::vector<WeightedAdapter> parts, MergeMethod method, uint64_t seed) {
  if (parts.size() == 1 && parts[0].weight == 1.0) return std::move(parts[0].adapter);
  const at::NoGradGuard no_gradients;
  Adapter result;
  result.place = "the combined adapter";
  for (const WeightedAdapter& part : parts) {
    check_combinable(part.adapter);
    take_tensors(result, part.adapter);
  }
  for (const auto pairs : {&Adapter::pairs, &Adapter::embeddings}) {
    for (const WeightedAdapter& part : parts) {
      for (const auto& [module, unused] : part.adapter.*pairs) {
        if ((result.*pairs).contains(module)) continue;
        (result.*pairs)[module] = combined(terms_of(parts, pairs, module), method, seed, module);
        result.config.target_modules.push_back(module);
      }
    }
  }
  return result;
}

MergeCheck merge_checked(Transformer& model, c10::ScalarType stored) {
  const at::NoGradGuard no_gradients;
  const at::Tensor adapted = fixed_logits(model);
  merge_lora(model);
  const at::Tensor merged = fixed_logits(model);
  MergeCheck check{.tokens = adapted.size(0),
                   .largest_logit = adapted.abs().max().item<double>(),
                   .largest_difference = largest_difference(merged, adapted)};
  const double limit = kMergeTolerance * check.largest_logit;
  if (!(check.largest_difference <= limit))
    throw Error({.what = "the merged model does not compute what the adapter does",
                 .where = "logits of fixed tokens in float32",
                 .expected = cat("differences up to ", limit),
                 .found = cat(check.largest_difference)});
  if (stored == model.dtype()) return check;
  round_to(model, stored);
  check.rounding_difference = largest_difference(fixed_logits(model), merged);
  return check;
}

}  // namespace gradus
