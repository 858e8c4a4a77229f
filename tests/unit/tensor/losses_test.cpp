// SPDX-License-Identifier: Apache-2.0
// Fused losses and their gradients against autograd through the full matrix of logits.
#include "tensor/losses.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/log_softmax.h>

#include "unit/tensor/autograd_support.h"

namespace gradus {
namespace {

using at::Tensor;
using Inputs = std::vector<Tensor>;

constexpr int64_t kRows = 13, kWidth = 24, kVocabulary = 57;

// Every third row is ignored.
Tensor targets() {
  Tensor ids = at::empty({kRows}, at::kLong);
  for (int64_t i = 0; i < kRows; ++i)
    ids.data_ptr<int64_t>()[i] =
        i % 3 == 1 ? ops::kIgnoredTarget : integer(static_cast<uint64_t>(i), kVocabulary);
  return ids;
}

Tensor log_probs(const Tensor& hidden, const Tensor& weight, double temperature = 1.0) {
  return at::log_softmax(at::linear(hidden, weight) / temperature, -1);
}

Tensor plain_cross_entropy(const Inputs& in, double scale) {
  const Tensor ids = targets(), kept = ids.ne(ops::kIgnoredTarget);
  const Tensor picked = log_probs(in[0], in[1]).gather(1, ids.clamp_min(0).unsqueeze(1)).squeeze(1);
  return -(picked * kept).sum() * scale;
}

Inputs student() { return {values({kRows, kWidth}, 1), values({kVocabulary, kWidth}, 2)}; }
Inputs in_double(const Inputs& inputs) {
  return {inputs[0].to(at::kDouble), inputs[1].to(at::kDouble)};
}

Tensor plain_distillation(const Inputs& in, const Inputs& teacher,
                          const ops::DistillationOptions& o) {
  const Tensor kept = targets().ne(ops::kIgnoredTarget);
  const Tensor s = log_probs(in[0], in[1], o.temperature),
               t = log_probs(teacher[0], teacher[1], o.temperature);
  const Tensor forward = (t.exp() * (t - s)).sum(-1), reverse = (s.exp() * (s - t)).sum(-1);
  const Tensor kl = (1 - o.reverse_weight) * forward + o.reverse_weight * reverse;
  const Tensor soft = (kl * kept).sum() * (o.temperature * o.temperature * (1 - o.hard_weight));
  return (soft + plain_cross_entropy(in, o.hard_weight)) * o.scale;
}

}  // namespace

TEST_CASE("linear cross-entropy and its gradients equal the plain composition") {
  const auto fused = [](const Inputs& in) {
    return ops::linear_cross_entropy(in[0], {in[1]}, targets(), 0.25);
  };
  const auto plain = [](const Inputs& in) { return plain_cross_entropy(in, 0.25); };
  const Differentiated expected = differentiate(plain, in_double(student()));
  check_same(differentiate(fused, student()), expected, 20);
  Inputs narrow = student();
  for (Tensor& x : narrow) x = x.to(at::kBFloat16);
  const Differentiated from_narrow = differentiate(plain, in_double(narrow));
  const Differentiated actual = differentiate(fused, narrow);
  CHECK(actual.value.item<double>() == Approx(from_narrow.value.item<double>()).epsilon(5e-3));
  check_close(actual.gradients[0], from_narrow.gradients[0], 2);
  check_close(actual.gradients[1], from_narrow.gradients[1], 2);
}

TEST_CASE("linear cross-entropy makes only the gradients that are asked for") {
  const Inputs in = student();
  const Tensor hidden = in[0].clone().set_requires_grad(true);
  const Tensor loss = ops::linear_cross_entropy(hidden, {in[1]}, targets(), 1.0);
  torch::autograd::backward({loss}, {});
  const auto plain = [](const Inputs& x) { return plain_cross_entropy(x, 1.0); };
  const Tensor factor = values({}, 99, at::kBFloat16).to(at::kFloat);
  const Differentiated both = differentiate(plain, in);
  check_close(hidden.grad() * factor, both.gradients[0], 20);
  CHECK(!in[1].grad().defined());
}

TEST_CASE("rows without a target cost nothing and get no gradient") {
  const Inputs in = student();
  const Tensor hidden = in[0].clone().set_requires_grad(true),
               weight = in[1].clone().set_requires_grad(true);
  const Tensor none = targets().fill_(ops::kIgnoredTarget);
  const Tensor loss = ops::linear_cross_entropy(hidden, {weight}, none, 1.0);
  torch::autograd::backward({loss}, {});
  CHECK(loss.item<float>() == 0.0f);
  CHECK(hidden.grad().abs().max().item<float>() == 0.0f);
  CHECK(weight.grad().abs().max().item<float>() == 0.0f);
}

TEST_CASE("distillation and its gradients equal the plain composition") {
  const Inputs teacher = {values({kRows, 16}, 3), values({kVocabulary, 16}, 4)};
  for (const double temperature : {1.0, 2.5}) {
    for (const double hard : {0.0, 0.3, 1.0}) {
      for (const double reverse : {0.0, 0.4, 1.0}) {
        const ops::DistillationOptions options{temperature, hard, reverse, 0.5};
        const auto fused = [&](const Inputs& in) {
          return ops::linear_distillation({.hidden = in[0],
                                           .head = {in[1]},
                                           .teacher_hidden = teacher[0],
                                           .teacher_head = {teacher[1]},
                                           .targets = targets()},
                                          options);
        };
        const auto plain = [&](const Inputs& in) {
          return plain_distillation(in, in_double(teacher), options);
        };
        INFO("temperature " << temperature << ", hard " << hard << ", reverse " << reverse);
        check_same(differentiate(fused, student()), differentiate(plain, in_double(student())), 50);
      }
    }
  }
}

TEST_CASE("losses of heads with a bias and a cap equal the plain composition") {
  const double cap = 1.5;
  const auto capped_logits = [&](const Inputs& in) {
    return (at::matmul(in[0], in[1].t()) + in[2]).div(cap).tanh() * cap;
  };
  const auto masked_sum = [](const Tensor& rows) {
    return (rows * targets().ne(ops::kIgnoredTarget)).sum();
  };
  Inputs inputs = student();
  inputs.push_back(values({kVocabulary}, 8));
  Inputs wide = in_double(inputs);
  wide.push_back(inputs[2].to(at::kDouble));
  const auto cross_entropy = [&](const Inputs& in) {
    return ops::linear_cross_entropy(in[0], {in[1], in[2], cap}, targets(), 0.5);
  };
  const auto plain_cross_entropy_of_capped = [&](const Inputs& in) {
    const Tensor safe = targets().clamp_min(0).unsqueeze(1);
    return masked_sum(-at::log_softmax(capped_logits(in), -1).gather(1, safe).squeeze(1)) * 0.5;
  };
  check_same(differentiate(cross_entropy, inputs),
             differentiate(plain_cross_entropy_of_capped, wide), 50);
  const Inputs teacher = {values({kRows, 16}, 3), values({kVocabulary, 16}, 4),
                          values({kVocabulary}, 5)};
  const auto distillation = [&](const Inputs& in) {
    return ops::linear_distillation({.hidden = in[0],
                                     .head = {in[1], in[2], cap},
                                     .teacher_hidden = teacher[0],
                                     .teacher_head = {teacher[1], teacher[2], cap},
                                     .targets = targets()},
                                    {});
  };
  const auto plain_distillation_of_capped = [&](const Inputs& in) {
    Inputs exact;
    for (const Tensor& x : teacher) exact.push_back(x.to(at::kDouble));
    const Tensor s = at::log_softmax(capped_logits(in), -1),
                 t = at::log_softmax(capped_logits(exact), -1);
    return masked_sum((t.exp() * (t - s)).sum(-1));
  };
  check_same(differentiate(distillation, inputs), differentiate(plain_distillation_of_capped, wide),
             50);
}

}  // namespace gradus
