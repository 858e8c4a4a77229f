// SPDX-License-Identifier: Apache-2.0
// The recurrences of RWKV-4 and RWKV-7, forward and backward, and one token of decoding: the CPU
// kernels beside the composition of ATen operators, token by token. Verified first, then timed.
//
//   bench_wkv [--quick]     the last line is one JSON document
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/zeros.h>
#include <omp.h>
#include <torch/csrc/autograd/autograd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "base/error.h"
#include "bench_support.h"
#include "tensor/cpu/kernels.h"
#include "tensor/recurrence.h"

namespace {

using namespace gradus;
using at::Tensor;
using Inputs = std::vector<Tensor>;
using Op = std::function<Tensor(const Inputs&, const ops::SegmentStates&)>;

// The fastest call of at least 3 that fit in `budget` seconds.
double best_seconds(double budget, const std::function<void()>& call) {
  return bench::call_seconds(budget, 3, call).front();
}

struct Recurrence {
  std::string name;
  Op kernel, reference;
  std::function<Inputs(int64_t tokens)> inputs;
  std::vector<int64_t> state;  // of one sequence
};

// The widths of the models of 0.1B and 1.5B numbers.
Recurrence rwkv4(int64_t width) {
  const auto run = [](auto op) {
    return [op](const Inputs& in, const ops::SegmentStates& s) {
      return op({in[0], in[1], in[2], in[3]}, s);
    };
  };
  return {cat("wkv4, ", width, " channels"),
          run(ops::wkv4),
          run(ops::reference::wkv4),
          [width](int64_t T) {
            return Inputs{-at::randn({width}).exp(), at::randn({width}), at::randn({T, width}),
                          at::randn({T, width})};
          },
          {3, width}};
}

Recurrence rwkv7(int64_t heads) {
  const auto run = [](auto op) {
    return [op](const Inputs& in, const ops::SegmentStates& s) {
      return op({in[0], in[1], in[2], in[3], in[4], in[5]}, s);
    };
  };
  return {cat("wkv7, ", heads, " heads of 64"),
          run(ops::wkv7),
          run(ops::reference::wkv7),
          [heads](int64_t T) {
            const auto x = [&] { return at::randn({T, heads, 64}); };
            Tensor removal = x();
            removal = removal / at::linalg_vector_norm(removal, 2, {-1}, true);
            return Inputs{x(),      at::sigmoid(x()) * -0.6,   x() * 0.1, x(),
                          -removal, removal * at::sigmoid(x())};
          },
          {heads, 64, 64}};
}

Tensor forward(const Op& op, const Inputs& inputs) {
  const at::NoGradGuard no_gradients;
  return op(inputs, ops::segments_without_past({0, inputs.back().size(0)}));
}

Inputs backward(const Op& op, const Inputs& inputs) {
  Inputs leaves;
  for (const Tensor& x : inputs) leaves.push_back(x.detach().requires_grad_(true));
  const Tensor y = op(leaves, ops::segments_without_past({0, inputs.back().size(0)}));
  torch::autograd::backward({y.sum()}, {});
  Inputs gradients;
  for (const Tensor& leaf : leaves) gradients.push_back(leaf.grad());
  return gradients;
}

// A wrong kernel must not be timed.
void verify(const Recurrence& r) {
  const Inputs inputs = r.inputs(70);
  Inputs ours = backward(r.kernel, inputs), theirs = backward(r.reference, inputs);
  ours.push_back(forward(r.kernel, inputs));
  theirs.push_back(forward(r.reference, inputs));
  for (size_t i = 0; i < ours.size(); ++i) {
    const double error = (ours[i] - theirs[i]).norm().item<double>();
    if (!(error <= 1e-4 * theirs[i].norm().item<double>()))
      throw Error(cat(r.name, " is wrong by ", error));
  }
}

// One token of 8 sequences, each with a state.
void decode(const Op& op, const Inputs& inputs, const Tensor& rows) {
  const at::NoGradGuard no_gradients;
  ops::SegmentStates states{.waves = {{}}, .rows = rows};
  for (int64_t i = 0; i < 8; ++i) states.waves[0].push_back({i, i + 1, i, i});
  op(inputs, states);
}

void measure(const Recurrence& r, double budget, Json& results) {
  verify(r);
  constexpr int64_t kTokens = 512;
  const Inputs inputs = r.inputs(kTokens), one = r.inputs(8);
  std::vector<int64_t> sizes = r.state;
  sizes.insert(sizes.begin(), 8);
  const Tensor rows = at::zeros(sizes);
  const std::vector<std::pair<const char*, std::function<void(const Op&)>>> works = {
      {"forward, 512 tokens", [&](const Op& op) { forward(op, inputs); }},
      {"forward and backward, 512 tokens", [&](const Op& op) { backward(op, inputs); }},
      {"a token of 8 sequences", [&](const Op& op) { decode(op, one, rows); }}};
  for (const auto& [what, work] : works) {
    const double ours = best_seconds(budget, [&, &run = work] { run(r.kernel); });
    const double theirs = best_seconds(budget, [&, &run = work] { run(r.reference); });
    std::printf("%-24s %-34s %9.3f ms  ATen %9.3f ms  %6.1f x\n", r.name.c_str(), what, ours * 1e3,
                theirs * 1e3, theirs / ours);
    results.push_back({{"recurrence", r.name},
                       {"work", what},
                       {"ms", ours * 1e3},
                       {"aten_ms", theirs * 1e3},
                       {"ratio", theirs / ours}});
  }
}

void run(bool quick) {
  const double budget = quick ? 0.02 : 1;
  Json results = Json::array();
  for (const int64_t width : {768, 2048}) measure(rwkv4(width), budget, results);
  for (const int64_t heads : {12, 32}) measure(rwkv7(heads), budget, results);
  const Json report = {{"bench", "wkv"},
                       {"isa", cpu::isa_name(cpu::cpu_kernels().isa)},
                       {"threads", omp_get_max_threads()},
                       {"results", results}};
  bench::print_report(report);
}

}  // namespace

int main(int argc, char** argv) { return bench::run_main(argc, argv, run); }
