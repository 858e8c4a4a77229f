// SPDX-License-Identifier: Apache-2.0
// adamw, sum_of_squares, and the row kernels of the cross-entropy.
#include <limits>

#include "unit/tensor/cpu_support.h"

using namespace gradus::cpu_test;

namespace {

template <class G>
void check_adamw(const CpuKernels& table, int64_t count) {
  std::vector<float> p = numbers(count, 1), m = numbers(count, 2), s = numbers(count, 3);
  for (float& v : s) v = v * v;
  const std::vector<G> g = numbers<G>(count, 4);
  std::vector<double> p_truth, m_truth, s_truth;
  const double lr = 1e-2, b1 = 0.9f, b2 = 0.95f, c1 = 0.271f, c2 = 0.1426f, decay = 0.1f;
  for (size_t i = 0; i < p.size(); ++i) {
    const double grad = 0.5 * widen(g[i]);
    m_truth.push_back(b1 * m[i] + (1 - b1) * grad);
    s_truth.push_back(b2 * s[i] + (1 - b2) * grad * grad);
    const double denominator = std::sqrt(s_truth[i]) / std::sqrt(c2) + 1e-8;
    p_truth.push_back(p[i] * (1 - lr * decay) - lr / c1 * m_truth[i] / denominator);
  }
  std::vector<Bf16> copy(p.size());
  table.adamw({.param = p.data(),
               .param_copy = copy.data(),
               .grad = {g.data(), dtype_of<G>()},
               .exp_avg = m.data(),
               .exp_avg_sq = s.data(),
               .count = count,
               .lr = 1e-2f,
               .beta1 = 0.9f,
               .beta2 = 0.95f,
               .eps = 1e-8f,
               .weight_decay = 0.1f,
               .bias_correction1 = 0.271f,
               .bias_correction2 = 0.1426f,
               .grad_scale = 0.5f,
               .threads = 2});
  check_close(p, p_truth, 3);
  check_close(m, m_truth, 3);
  check_close(s, s_truth, 3);
  for (size_t i = 0; i < p.size(); ++i) {
    Bf16 rounded;
    narrow(rounded, p[i]);
    REQUIRE(rounded.bits == copy[i].bits);
  }
}

template <class T>
void check_squares(const CpuKernels& table, int64_t count) {
  const std::vector<T> x = numbers<T>(count, 6);
  double truth = 0;
  for (const T& v : x) truth += static_cast<double>(widen(v)) * static_cast<double>(widen(v));
  const double sum = table.sum_of_squares({{x.data(), dtype_of<T>()}, count, 2});
  CHECK(std::abs(sum - truth) <= 1e-6 * truth);
  CHECK(sum == table.sum_of_squares({{x.data(), dtype_of<T>()}, count, 1}));
}

template <class T>
void check_cross_entropy(const CpuKernels& table, int64_t vocab) {
  const int64_t rows = 4;
  std::vector<T> logits = numbers<T>(rows * vocab, 11);
  for (size_t i = 0; i < logits.size(); ++i) narrow(logits[i], 5 * widen(logits[i]));
  const std::vector<int64_t> targets = {0, vocab - 1, -100, vocab / 2};
  const std::vector<float> scale = {1, 2, 1, 0.5f};
  std::vector<float> lse(rows), at_target(rows);
  table.log_sum_exp({{logits.data(), dtype_of<T>(), vocab},
                     targets.data(),
                     lse.data(),
                     at_target.data(),
                     rows,
                     vocab,
                     2});
  std::vector<double> lse_truth, target_truth, grad_truth;
  for (int64_t t = 0; t < rows; ++t) {
    const T* row = logits.data() + t * vocab;
    const int64_t target = targets[static_cast<size_t>(t)];
    double sum = 0;
    for (int64_t i = 0; i < vocab; ++i) sum += std::exp(static_cast<double>(widen(row[i])));
    lse_truth.push_back(std::log(sum));
    target_truth.push_back(target < 0 ? 0 : widen(row[target]));
    for (int64_t i = 0; i < vocab; ++i) {
      const double p = std::exp(static_cast<double>(widen(row[i]))) / sum;
      const double g = (p - (i == target)) * 0.25 * scale[static_cast<size_t>(t)];
      grad_truth.push_back(target < 0 ? 0 : g);
    }
  }
  check_close(lse, lse_truth);
  check_close(at_target, target_truth);
  table.cross_entropy_grad({.logits = {logits.data(), dtype_of<T>(), vocab},
                            .targets = targets.data(),
                            .lse = lse.data(),
                            .scale = scale.data(),
                            .common_scale = 0.25f,
                            .rows = rows,
                            .vocab = vocab,
                            .threads = 2});
  check_close(logits, grad_truth);
}

// One row of log_sum_exp.
float lse_of(const CpuKernels& table, const std::vector<float>& row) {
  float lse = 0;
  const auto n = static_cast<int64_t>(row.size());
  table.log_sum_exp(
      {.logits = {row.data(), DType::kFloat32, n}, .lse = &lse, .rows = 1, .vocab = n});
  return lse;
}

constexpr float kInf = std::numeric_limits<float>::infinity();

}  // namespace

TEST_CASE("adamw equals torch.optim.AdamW's formula") {
  for (const CpuKernels* table : all_tables()) {
    CAPTURE(isa_name(table->isa));
    for (const int64_t count : {1, 100, 9000}) {
      check_adamw<float>(*table, count);
      check_adamw<Bf16>(*table, count);
    }
  }
}

TEST_CASE("sum_of_squares is exact enough and independent of threads") {
  for (const CpuKernels* table : all_tables()) {
    CAPTURE(isa_name(table->isa));
    for (const int64_t count : {0, 3, 4096, 100001}) {
      check_squares<float>(*table, count);
      check_squares<Bf16>(*table, count);
    }
  }
}

TEST_CASE("log_sum_exp, target logit and gradient of the cross-entropy") {
  for (const CpuKernels* table : all_tables()) {
    CAPTURE(isa_name(table->isa));
    for (const int64_t vocab : {5, 64, 1003}) {
      check_cross_entropy<float>(*table, vocab);
      check_cross_entropy<Bf16>(*table, vocab);
    }
  }
}

TEST_CASE("exp inside log_sum_exp is within 2 ulp from tiny to large") {
  for (const CpuKernels* table : all_tables()) {
    CAPTURE(isa_name(table->isa));
    // lse of {0, -x} and the gradient at it: e^-x comes out of softmax directly.
    for (double x = -87; x <= 0; x += 0.37) {
      std::vector<float> row = {static_cast<float>(x)};
      const int64_t target = 1;
      const float lse = 0;
      row.push_back(0);
      table->cross_entropy_grad({.logits = {row.data(), DType::kFloat32, 2},
                                 .targets = &target,
                                 .lse = &lse,
                                 .rows = 1,
                                 .vocab = 2});
      const double truth = std::exp(static_cast<double>(static_cast<float>(x)));
      CHECK(std::abs(row[0] - truth) <= 2.4e-7 * truth);
    }
  }
}

TEST_CASE("log_sum_exp of extremes") {
  for (const CpuKernels* table : all_tables()) {
    CAPTURE(isa_name(table->isa));
    CHECK(lse_of(*table, {1000, 1000}) == Approx(1000.6931));
    CHECK(lse_of(*table, {-kInf, 2, -kInf}) == 2);
    CHECK(lse_of(*table, {-kInf, -kInf}) == -kInf);
    CHECK(std::isnan(lse_of(*table, {1, NAN, 2})));
    CHECK(std::isnan(lse_of(*table, std::vector<float>(40, NAN))));
  }
}
