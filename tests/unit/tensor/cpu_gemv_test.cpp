// SPDX-License-Identifier: Apache-2.0
#include "unit/tensor/cpu_support.h"

using namespace gradus::cpu_test;

namespace {

struct Case {
  int64_t rows, n, k;
};

template <class W, class X>
std::vector<X> run(const CpuKernels& table, const Case& c, const std::vector<W>& w,
                   const std::vector<X>& x) {
  const std::vector<float> bias = numbers(c.n, 5);
  std::vector<X> y(static_cast<size_t>(c.rows * c.n));
  table.gemv({.weight = {w.data(), dtype_of<W>(), c.k},
              .x = {x.data(), dtype_of<X>(), c.k},
              .y = {y.data(), dtype_of<X>(), c.n},
              .bias = bias.data(),
              .rows = c.rows,
              .n = c.n,
              .k = c.k,
              .threads = 2});
  return y;
}

template <class W, class X>
void check(const Case& c) {
  const std::vector<W> w = numbers<W>(c.n * c.k, 1);
  const std::vector<X> x = numbers<X>(c.rows * c.k, 2);
  const std::vector<float> bias = numbers(c.n, 5);
  std::vector<double> truth;
  for (int64_t i = 0; i < c.rows * c.n; ++i) {
    const int64_t t = i / c.n, n = i % c.n;
    double sum = bias[static_cast<size_t>(n)];
    for (int64_t k = 0; k < c.k; ++k) {
      sum += static_cast<double>(widen(w[static_cast<size_t>(n * c.k + k)])) *
             static_cast<double>(widen(x[static_cast<size_t>(t * c.k + k)]));
    }
    truth.push_back(sum);
  }
  for (const CpuKernels* table : all_tables()) {
    CAPTURE(isa_name(table->isa), c.rows, c.n, c.k);
    const std::vector<X> y = run(*table, c, w, x);
    // Sums of k products of O(1) in fp32: the absolute error grows with k.
    check_close(y, truth, 5);
    const std::vector<X> last(x.end() - c.k, x.end());
    const std::vector<X> alone = run(*table, {1, c.n, c.k}, w, last);
    CHECK(same_bits(alone, std::vector<X>(y.end() - c.n, y.end())));
  }
}

}  // namespace

TEST_CASE("gemv equals the plain product, and a row alone has the same bits") {
  for (const Case& c : {Case{1, 9, 64}, Case{2, 4, 77}, Case{3, 33, 100}, Case{4, 16, 16},
                        Case{6, 7, 131}, Case{1, 1, 3}}) {
    check<float, float>(c);
    check<Bf16, Bf16>(c);
    check<Bf16, float>(c);
    check<float, Bf16>(c);
  }
}
