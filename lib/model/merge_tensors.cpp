// SPDX-License-Identifier: Apache-2.0
#include "model/merge_tensors.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/topk.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>

#include "base/hash.h"
#include "base/rng.h"

namespace gradus {
namespace {

using at::Tensor;

Tensor keep_largest(const Tensor& tensor, double density) {
  if (density >= 1) return tensor;
  const auto count = static_cast<int64_t>(density * static_cast<double>(tensor.numel()));
  const Tensor flat = tensor.reshape({-1});
  Tensor kept = at::zeros_like(flat);
  const Tensor places = std::get<1>(at::topk(flat.abs(), count, -1, true, false));
  kept.index_copy_(0, places, flat.index_select(0, places));
  return kept.reshape(tensor.sizes());
}

Tensor keep_random(const Tensor& tensor, double density, const MergeSeed& seed, size_t index) {
  if (density >= 1) return tensor;
  const uint64_t stream = xxh3(std::to_string(index) + ":" + seed.name);
  Tensor kept = tensor.contiguous().clone();
  auto* values = kept.mutable_data_ptr<float>();
  const auto factor = static_cast<float>(density);
  for (int64_t i = 0; i < kept.numel(); ++i) {
    const bool keep = random_uniform(seed.seed, stream, static_cast<uint64_t>(i)) < density;
    values[i] = keep ? values[i] / factor : 0.0F;
  }
  return kept;
}

// 1 where the sum is not negative, else -1.
Tensor majority_sign(const Tensor& sum) { return sum.ge(0).to(at::kFloat) * 2 - 1; }

template <class Term>
Tensor sum_of(const std::vector<MergeTerm>& terms, const Term& term) {
  Tensor sum = at::zeros_like(terms[0].tensor);
  for (const MergeTerm& one : terms) sum += term(one);
  return sum;
}

Tensor weighted(const MergeTerm& term) { return term.tensor * term.weight; }

double length_of(const Tensor& x) { return (x * x).sum().sqrt().item<double>(); }

// Divides by `divisor`, where it is not zero.
Tensor divided(const Tensor& sum, const Tensor& divisor) {
  return sum / (divisor + divisor.eq(0).to(at::kFloat));
}

}  // namespace

std::vector<MergeTerm> pruned(MergeMethod method, std::vector<MergeTerm> terms,
                              const MergeSeed& seed) {
  for (size_t i = 0; i < terms.size(); ++i) {
    MergeTerm& term = terms[i];
    if (keeps_largest(method)) term.tensor = keep_largest(term.tensor, term.density);
    if (is_dare(method)) term.tensor = keep_random(term.tensor, term.density, seed, i);
  }
  return terms;
}

Tensor combine_as_peft(MergeMethod method, const std::vector<MergeTerm>& all,
                       const MergeSeed& seed) {
  const std::vector<MergeTerm> terms = pruned(method, all, seed);
  if (!elects_signs(method)) return sum_of(terms, weighted);
  const Tensor sign =
      majority_sign(sum_of(terms, [](const MergeTerm& term) { return term.tensor; }));
  const auto counts = [&](const MergeTerm& term) {
    return term.tensor.sign().eq(sign).to(at::kFloat);
  };
  const Tensor sum =
      sum_of(terms, [&](const MergeTerm& term) { return weighted(term) * counts(term); });
  return divided(sum, sum_of(terms, counts));
}

Tensor combine_as_mergekit(const MergeRecipe& recipe, const Tensor& base,
                           std::vector<MergeTerm> terms, const MergeSeed& seed) {
  if (base.defined()) {
    for (MergeTerm& term : terms) term.tensor = term.tensor - base;
  }
  terms = pruned(recipe.chosen_method(), std::move(terms), seed);
  Tensor sum = sum_of(terms, weighted);
  double total = 0;
  for (const MergeTerm& term : terms) total += term.weight;
  if (elects_signs(recipe.chosen_method())) {
    const Tensor sign = majority_sign(sum);
    const auto counts = [&](const MergeTerm& term) {
      return weighted(term).sign().eq(sign).to(at::kFloat);
    };
    sum = sum_of(terms, [&](const MergeTerm& term) { return weighted(term) * counts(term); });
    if (recipe.normalized())
      sum = divided(
          sum, sum_of(terms, [&](const MergeTerm& term) { return counts(term) * term.weight; }));
  } else if (recipe.normalized() && std::abs(total) >= 1e-8) {
    sum = sum / total;
  }
  return base.defined() ? base + sum * recipe.lambda : sum;
}

Tensor slerp(const Tensor& first, const Tensor& second, double t) {
  constexpr double kSmallest = 1e-8, kOneDirection = 0.9995;
  const auto direction = [](const Tensor& x) {
    const double length = length_of(x);
    return length > kSmallest ? x / length : x;
  };
  const auto cosine = (direction(first) * direction(second)).sum().item<double>();
  if (std::abs(cosine) > kOneDirection) return first * (1 - t) + second * t;
  const double angle = std::acos(cosine);
  return first * (std::sin(angle * (1 - t)) / std::sin(angle)) +
         second * (std::sin(angle * t) / std::sin(angle));
}

}  // namespace gradus
