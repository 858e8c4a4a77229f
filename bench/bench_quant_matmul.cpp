// SPDX-License-Identifier: Apache-2.0
// Quantised matmul and bf16 matrix-vector products: time, bytes per second, and the share of the
// read bandwidth measured in the same run; beside ATen's kernels. Verified first, then timed.
//
//   bench_quant_matmul [--quick]     the last line is one JSON document
#include <ATen/core/Tensor.h>
#include <ATen/ops/_convert_weight_to_int4pack_for_cpu.h>
#include <ATen/ops/_weight_int4pack_mm_for_cpu.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "base/error.h"
#include "bench_support.h"
#include "tensor/cpu/kernels.h"

namespace {

using namespace gradus;
using namespace gradus::cpu;

// The time that a tenth of the calls stays below, of as many calls as fit in `budget` seconds, 5 at
// least: on a shared machine the median is the neighbours'.
double typical_seconds(double budget, const std::function<void()>& call) {
  const std::vector<double> times = bench::call_seconds(budget, 5, call);
  return times[times.size() / 10];
}

// Bytes per second of summing the squares of an array larger than every cache, all threads.
double read_bandwidth(double budget) {
  const at::Tensor big = at::ones({64 << 20}, at::kFloat);
  volatile double sink = 0;
  const double seconds = typical_seconds(budget, [&] {
    sink = sink + cpu_kernels().sum_of_squares(
                      {.values = {big.const_data_ptr(), DType::kFloat32}, .count = big.numel()});
  });
  return static_cast<double>(big.nbytes()) / seconds;
}

double fork_join_seconds(double budget) {
  volatile int sink = 0;
  return typical_seconds(budget, [&] {
#pragma omp parallel
    if (omp_get_thread_num() == 0) sink = sink + 1;
  });
}

struct Size {
  int64_t n, k;
};

// Copies of one weight that together exceed the caches, used in turn: decode reads each weight once
// per token, so a weight is never warm.
template <class T>
struct Cold {
  std::vector<T> copies;
  size_t next = 0;
  const T& take() { return copies[next++ % copies.size()]; }
};
int64_t copies_for(int64_t bytes) { return std::max<int64_t>(1, (192 << 20) / bytes); }

struct Bench {
  double budget;
  double bandwidth;
  Json results = Json::array();

  void add(const std::string& kernel, Size size, int64_t rows, int64_t bytes, double seconds) {
    const double rate = static_cast<double>(bytes) / seconds;
    const double flops = 2.0 * static_cast<double>(size.n * size.k * rows) / seconds;
    std::printf("%-18s N %6ld K %5ld T %4ld  %9.1f us  %6.2f GB/s  %5.1f %%  %7.1f GFLOP/s\n",
                kernel.c_str(), size.n, size.k, rows, seconds * 1e6, rate / 1e9,
                100 * rate / bandwidth, flops / 1e9);
    std::fflush(stdout);
    results.push_back({{"kernel", kernel},
                       {"n", size.n},
                       {"k", size.k},
                       {"t", rows},
                       {"us", seconds * 1e6},
                       {"gb_per_s", rate / 1e9},
                       {"share_of_bandwidth", rate / bandwidth},
                       {"gflop_per_s", flops / 1e9}});
  }
};

QuantMatmul matmul_args(const QuantShape& shape, const at::Tensor& packed, const at::Tensor& x,
                        at::Tensor& y) {
  const DType dtype = x.scalar_type() == at::kFloat ? DType::kFloat32 : DType::kBFloat16;
  return {.weight = {shape, static_cast<const std::byte*>(packed.const_data_ptr())},
          .x = {x.const_data_ptr(), dtype, shape.k},
          .y = {y.mutable_data_ptr(), dtype, shape.n},
          .rows = x.size(0)};
}

at::Tensor packed_weight(const QuantShape& shape) {
  at::Tensor packed = at::empty({quant_packed_bytes(shape)}, at::kByte);
  const at::ScalarType dtype = shape.scale_dtype == DType::kFloat32 ? at::kFloat : at::kBFloat16;
  const at::Tensor scales = at::full({shape.n, quant_groups(shape)}, 0.01, dtype);
  auto* out = static_cast<std::byte*>(packed.mutable_data_ptr());
  if (shape.format == QuantFormat::kInt4) {
    const at::Tensor q = at::randint(-2147483647, 2147483647, {shape.n, shape.k / 8}, at::kInt);
    pack_int4(shape, {q.const_data_ptr<int32_t>(), scales.const_data_ptr()}, out);
  } else {
    const at::Tensor q = at::randint(-127, 128, {shape.n, shape.k}, at::kChar);
    pack_int8(shape, {q.const_data_ptr<int8_t>(), scales.const_data_ptr()}, out);
  }
  return packed;
}

// A wrong kernel must not be timed: the first rows against the dequantised weight.
void verify(const QuantShape& shape, const at::Tensor& packed, at::ScalarType dtype) {
  const at::Tensor x = at::randn({3, shape.k}).to(dtype);
  at::Tensor y = at::empty({3, shape.n}, dtype);
  cpu_kernels().quant_matmul(matmul_args(shape, packed, x, y));
  const int64_t rows = std::min<int64_t>(shape.n, 64);
  at::Tensor w = at::empty({rows, shape.k}, at::kFloat);
  dequantize_rows({shape, static_cast<const std::byte*>(packed.const_data_ptr())}, 0, rows,
                  w.mutable_data_ptr<float>());
  const at::Tensor expected = at::linear(x.to(at::kFloat), w);
  const at::Tensor actual = y.slice(1, 0, rows).to(at::kFloat);
  const double error = expected.sub(actual).abs().max().item().toDouble();
  if (!(error <= 0.02 * (1 + expected.abs().max().item().toDouble()))) {
    throw Error(cat("quant_matmul is wrong by ", error));
  }
}

void bench_quant(Bench& table, const std::string& name, QuantShape shape, int64_t rows,
                 at::ScalarType dtype) {
  Cold<at::Tensor> cold;
  cold.copies.push_back(packed_weight(shape));
  verify(shape, cold.copies[0], dtype);
  for (int64_t i = 1; i < copies_for(quant_packed_bytes(shape)); ++i) {
    cold.copies.push_back(cold.copies[0].clone());
  }
  const at::Tensor x = at::randn({rows, shape.k}).to(dtype);
  at::Tensor y = at::empty({rows, shape.n}, dtype);
  const double seconds = typical_seconds(
      table.budget, [&] { cpu_kernels().quant_matmul(matmul_args(shape, cold.take(), x, y)); });
  table.add(name, {shape.n, shape.k}, rows, quant_packed_bytes(shape), seconds);
}

void bench_aten_int4(Bench& table, Size size, int64_t rows) {
  const int64_t group = size.k % 128 == 0 ? 128 : 64;
  const at::Tensor q = at::randint(0, 16, {size.n, size.k}, at::kInt);
  Cold<at::Tensor> cold;
  for (int64_t i = 0; i < copies_for(size.n * size.k / 2); ++i) {
    cold.copies.push_back(at::_convert_weight_to_int4pack_for_cpu(q, 1));
  }
  const at::Tensor scales = at::ones({size.k / group, size.n, 2}, at::kBFloat16);
  const at::Tensor x = at::randn({rows, size.k}).to(at::kBFloat16);
  const double seconds = typical_seconds(
      table.budget, [&] { (void)at::_weight_int4pack_mm_for_cpu(x, cold.take(), group, scales); });
  table.add("aten int4", size, rows, size.n * size.k / 2 + scales.numel() * 2, seconds);
}

void bench_bf16(Bench& table, Size size, int64_t rows) {
  Cold<at::Tensor> cold;
  for (int64_t i = 0; i < copies_for(size.n * size.k * 2); ++i) {
    cold.copies.push_back(at::randn({size.n, size.k}).to(at::kBFloat16));
  }
  const at::Tensor x = at::randn({rows, size.k}).to(at::kBFloat16);
  at::Tensor y = at::empty({rows, size.n}, at::kBFloat16);
  const double aten = typical_seconds(table.budget, [&] { (void)at::linear(x, cold.take()); });
  table.add("aten linear bf16", size, rows, size.n * size.k * 2, aten);
  if (rows > 4) return;
  const double ours = typical_seconds(table.budget, [&] {
    cpu_kernels().gemv({.weight = {cold.take().const_data_ptr(), DType::kBFloat16, size.k},
                        .x = {x.const_data_ptr(), DType::kBFloat16, size.k},
                        .y = {y.mutable_data_ptr(), DType::kBFloat16, size.n},
                        .rows = rows,
                        .n = size.n,
                        .k = size.k});
  });
  table.add("gemv bf16", size, rows, size.n * size.k * 2, ours);
}

void bench_size(Bench& table, Size size, int64_t rows) {
  const int64_t group = size.k % 128 == 0 ? 128 : 64;
  const QuantShape int4 = {QuantFormat::kInt4, size.n, size.k, group, DType::kFloat32};
  const QuantShape int8 = {QuantFormat::kInt8, size.n, size.k, size.k, DType::kFloat32};
  bench_quant(table, "int4 bf16 x", int4, rows, at::kBFloat16);
  bench_quant(table, "int4 fp32 x", int4, rows, at::kFloat);
  bench_quant(table, "int8 bf16 x", int8, rows, at::kBFloat16);
  bench_quant(table, "int8 fp32 x", int8, rows, at::kFloat);
  bench_aten_int4(table, size, rows);
  bench_bf16(table, size, rows);
}

void run(bool quick) {
  const double budget = quick ? 0.02 : 0.3;
  Bench table{budget, read_bandwidth(quick ? 0.3 : 2), Json::array()};
  const double fork_join = fork_join_seconds(budget);
  std::printf("isa %s, %d threads, read %.1f GB/s, fork-join %.2f us\n",
              isa_name(cpu_kernels().isa), omp_get_max_threads(), table.bandwidth / 1e9,
              fork_join * 1e6);
  const std::vector<Size> sizes = {{192, 576},  {576, 576},   {1536, 576},
                                   {576, 1536}, {49152, 576}, {14336, 4096}};
  for (const Size& size : sizes) bench_size(table, size, 1);
  for (const int64_t rows : {4, 8, 32, 256}) {
    for (const Size& size : {Size{1536, 576}, Size{14336, 4096}}) bench_size(table, size, rows);
    if (quick) break;
  }
  const Json report = {{"bench", "quant_matmul"},          {"isa", isa_name(cpu_kernels().isa)},
                       {"threads", omp_get_max_threads()}, {"read_gb_per_s", table.bandwidth / 1e9},
                       {"fork_join_us", fork_join * 1e6},  {"results", table.results}};
  bench::print_report(report);
}

}  // namespace

int main(int argc, char** argv) { return bench::run_main(argc, argv, run); }
