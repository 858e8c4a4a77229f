// SPDX-License-Identifier: Apache-2.0
// rms_norm, rope, swiglu: forward against plain loops, backward against the derivative of the
// forward in double precision.
#include "unit/tensor/cpu_support.h"

using namespace gradus::cpu_test;

namespace {

struct NormCase {
  int64_t rows, width;
  float offset;
};

// y of one row in double, from h.
std::vector<double> norm_row(const std::vector<double>& h, const std::vector<double>& w) {
  double squares = 0;
  for (const double v : h) squares += v * v;
  const double r = 1 / std::sqrt(squares / static_cast<double>(h.size()) + 1e-5);
  std::vector<double> y;
  for (size_t i = 0; i < h.size(); ++i) y.push_back(h[i] * r * w[i]);
  return y;
}

template <class T, class W>
void check_norm(const CpuKernels& table, const NormCase& c) {
  CAPTURE(isa_name(table.isa), c.rows, c.width);
  const std::vector<T> x = numbers<T>(c.rows * c.width, 1);
  const std::vector<W> w = numbers<W>(c.width, 3);
  std::vector<T> y(x.size());
  const RmsNorm args = {.x = {x.data(), dtype_of<T>(), c.width},
                        .weight = {w.data(), dtype_of<W>()},
                        .weight_offset = c.offset,
                        .y = {y.data(), dtype_of<T>(), c.width},
                        .rows = c.rows,
                        .width = c.width,
                        .eps = 1e-5f,
                        .threads = 2};
  table.rms_norm(args);
  std::vector<double> y_truth;
  for (int64_t t = 0; t < c.rows; ++t) {
    std::vector<double> h, weight;
    for (int64_t i = 0; i < c.width; ++i) {
      const auto at = static_cast<size_t>(t * c.width + i);
      h.push_back(widen(x[at]));
      weight.push_back(widen(w[static_cast<size_t>(i)]) + c.offset);
    }
    const std::vector<double> row = norm_row(h, weight);
    y_truth.insert(y_truth.end(), row.begin(), row.end());
  }
  check_close(y, y_truth);
}

void check_norm_backward(const CpuKernels& table, const NormCase& c) {
  CAPTURE(isa_name(table.isa), c.rows, c.width);
  const std::vector<float> x = numbers(c.rows * c.width, 1), dy = numbers(c.rows * c.width, 4);
  const std::vector<float> w = numbers(c.width, 3);
  std::vector<float> y(x.size()), dx(x.size()), dw(w.size()), r(static_cast<size_t>(c.rows));
  table.rms_norm({.x = {x.data(), DType::kFloat32, c.width},
                  .weight = {w.data()},
                  .weight_offset = c.offset,
                  .y = {y.data(), DType::kFloat32, c.width},
                  .reciprocal_rms = r.data(),
                  .rows = c.rows,
                  .width = c.width,
                  .eps = 1e-5f});
  table.rms_norm_backward({.x = {x.data(), DType::kFloat32, c.width},
                           .dy = {dy.data(), DType::kFloat32, c.width},
                           .weight = {w.data()},
                           .weight_offset = c.offset,
                           .reciprocal_rms = r.data(),
                           .dx = {dx.data(), DType::kFloat32, c.width},
                           .dweight = dw.data(),
                           .rows = c.rows,
                           .width = c.width,
                           .threads = 2});
  const auto loss = [&](int64_t t, size_t bump, double dh, double dweight) {
    std::vector<double> h, weight;
    for (int64_t i = 0; i < c.width; ++i) {
      h.push_back(x[static_cast<size_t>(t * c.width + i)]);
      weight.push_back(w[static_cast<size_t>(i)] + c.offset);
    }
    h[bump] += dh;
    weight[bump] += dweight;
    const std::vector<double> row = norm_row(h, weight);
    double total = 0;
    for (size_t i = 0; i < row.size(); ++i) {
      total += row[i] * dy[static_cast<size_t>(t * c.width) + i];
    }
    return total;
  };
  std::vector<double> dx_truth, dw_truth(w.size());
  const double step = 1e-5;
  for (int64_t t = 0; t < c.rows; ++t) {
    for (size_t i = 0; i < w.size(); ++i) {
      dx_truth.push_back((loss(t, i, step, 0) - loss(t, i, -step, 0)) / (2 * step));
      dw_truth[i] += (loss(t, i, 0, step) - loss(t, i, 0, -step)) / (2 * step);
    }
  }
  check_close(dx, dx_truth, 3);
  check_close(dw, dw_truth, 3);
}

struct RopeCase {
  RopePairs pairs;
  int64_t rotary, head_dim;
};

template <class T>
void check_rope(const CpuKernels& table, const RopeCase& c) {
  const int64_t rows = 5, heads = 3, half = c.rotary / 2;
  std::vector<T> x = numbers<T>(rows * heads * c.head_dim, 7);
  const std::vector<T> before = x;
  std::vector<float> cosines, sines;
  for (int64_t i = 0; i < 40 * half; ++i) {
    cosines.push_back(static_cast<float>(std::cos(0.1 * static_cast<double>(i))));
    sines.push_back(static_cast<float>(std::sin(0.1 * static_cast<double>(i))));
  }
  const std::vector<int64_t> positions = {3, 0, 39, 7, 8};
  Rope args = {.x = x.data(),
               .dtype = dtype_of<T>(),
               .token_stride = heads * c.head_dim,
               .head_stride = c.head_dim,
               .rows = rows,
               .heads = heads,
               .rotary = c.rotary,
               .cos = cosines.data(),
               .sin = sines.data(),
               .positions = positions.data(),
               .pairs = c.pairs};
  table.rope(args);
  std::vector<double> truth;
  for (const T& v : before) truth.push_back(widen(v));
  for (int64_t i = 0; i < rows * heads * half; ++i) {
    const int64_t t = i / half / heads, j = i % half;
    const auto head = static_cast<size_t>(i / half * c.head_dim);
    const bool halves = c.pairs == RopePairs::kHalves;
    const auto a = head + static_cast<size_t>(halves ? j : 2 * j);
    const auto b = head + static_cast<size_t>(halves ? j + half : 2 * j + 1);
    const auto angle = static_cast<size_t>(positions[static_cast<size_t>(t)] * half + j);
    truth[a] = widen(before[a]) * static_cast<double>(cosines[angle]) -
               widen(before[b]) * static_cast<double>(sines[angle]);
    truth[b] = widen(before[b]) * static_cast<double>(cosines[angle]) +
               widen(before[a]) * static_cast<double>(sines[angle]);
  }
  check_close(x, truth);
  args.direction = RopeDirection::kBackward;
  table.rope(args);
  std::vector<double> original;
  for (const T& v : before) original.push_back(widen(v));
  if (sizeof(T) == 4) check_close(x, original, 3);  // bf16 is rounded in between
}

double silu(double g) { return g / (1 + std::exp(-g)); }

template <class T>
void check_swiglu(const CpuKernels& table, int64_t rows, int64_t width) {
  std::vector<T> packed = numbers<T>(rows * 2 * width, 8);
  narrow(packed[0], -200.0f);
  const std::vector<T> dy = numbers<T>(rows * width, 9);
  std::vector<T> y(dy.size()), dgate(dy.size()), dup(dy.size());
  const ConstRows gate = {packed.data(), dtype_of<T>(), 2 * width};
  const ConstRows up = {packed.data() + width, dtype_of<T>(), 2 * width};
  table.swiglu({.gate = gate,
                .up = up,
                .y = {y.data(), dtype_of<T>(), width},
                .rows = rows,
                .width = width,
                .threads = 2});
  table.swiglu_backward({.gate = gate,
                         .up = up,
                         .dy = {dy.data(), dtype_of<T>(), width},
                         .dgate = {dgate.data(), dtype_of<T>(), width},
                         .dup = {dup.data(), dtype_of<T>(), width},
                         .rows = rows,
                         .width = width,
                         .threads = 2});
  std::vector<double> y_truth, dgate_truth, dup_truth;
  for (int64_t i = 0; i < rows * width; ++i) {
    const int64_t at = i / width * 2 * width + i % width;
    const double g = widen(packed[static_cast<size_t>(at)]);
    const double u = widen(packed[static_cast<size_t>(at + width)]);
    const double d = widen(dy[static_cast<size_t>(i)]);
    y_truth.push_back(silu(g) * u);
    dup_truth.push_back(d * silu(g));
    dgate_truth.push_back(d * u * (silu(g + 1e-5) - silu(g - 1e-5)) / 2e-5);
  }
  check_close(y, y_truth);
  check_close(dgate, dgate_truth);
  check_close(dup, dup_truth);
}

}  // namespace

TEST_CASE("rms_norm normalises and weights") {
  for (const CpuKernels* table : all_tables()) {
    for (const NormCase& c :
         {NormCase{3, 64, 0}, NormCase{5, 100, 1}, NormCase{70, 576, 0}, NormCase{1, 7, 0}}) {
      check_norm<float, float>(*table, c);
      check_norm<Bf16, Bf16>(*table, c);
      check_norm<Bf16, float>(*table, c);
    }
  }
}

TEST_CASE("rms_norm_backward is the derivative of rms_norm") {
  for (const CpuKernels* table : all_tables()) {
    check_norm_backward(*table, {4, 70, 0});
    check_norm_backward(*table, {3, 144, 1});
  }
}

TEST_CASE("rope turns pairs by their position's angle, and backward turns them back") {
  for (const CpuKernels* table : all_tables()) {
    CAPTURE(isa_name(table->isa));
    for (const RopePairs pairs : {RopePairs::kHalves, RopePairs::kInterleaved}) {
      for (const RopeCase& c : {RopeCase{pairs, 64, 64}, RopeCase{pairs, 24, 40}}) {
        check_rope<float>(*table, c);
        check_rope<Bf16>(*table, c);
      }
    }
  }
}

TEST_CASE("swiglu and its derivative, gate and up packed side by side") {
  for (const CpuKernels* table : all_tables()) {
    CAPTURE(isa_name(table->isa));
    for (const int64_t width : {5, 48, 1100}) {
      check_swiglu<float>(*table, 3, width);
      check_swiglu<Bf16>(*table, 3, width);
    }
  }
}
