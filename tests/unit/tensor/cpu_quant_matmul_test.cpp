// SPDX-License-Identifier: Apache-2.0
#include "unit/tensor/cpu_support.h"

using namespace gradus::cpu_test;

namespace {

// A weight as it is on disk, its exact value, and its packed form.
struct Weight {
  QuantShape shape;
  std::vector<int> q;         // [n, k]
  std::vector<float> scales;  // [n, groups]
  AlignedBytes packed;

  QuantWeight view() const { return {shape, packed.data}; }
  double value(int64_t n, int64_t k) const {
    const int64_t groups = quant_groups(shape);
    return static_cast<double>(q[static_cast<size_t>(n * shape.k + k)]) *
           static_cast<double>(scales[static_cast<size_t>(n * groups + k / shape.group)]);
  }
};

template <class S>
std::vector<S> scales_on_disk(Weight& w) {
  std::vector<S> out(w.scales.size());
  for (size_t i = 0; i < out.size(); ++i) {
    narrow(out[i], w.scales[i]);
    w.scales[i] = widen(out[i]);
  }
  return out;
}

template <class S>
void pack(Weight& w) {
  const std::vector<S> scales = scales_on_disk<S>(w);
  const QuantShape& s = w.shape;
  if (s.format == QuantFormat::kInt8) {
    const std::vector<int8_t> values(w.q.begin(), w.q.end());
    return pack_int8(s, {values.data(), scales.data()}, w.packed.data);
  }
  std::vector<int32_t> packed(static_cast<size_t>(s.n * s.k / 8));
  for (size_t i = 0; i < w.q.size(); ++i) {
    packed[i / 8] |= static_cast<int32_t>(static_cast<uint32_t>(w.q[i] + 8) << (i % 8 * 4));
  }
  pack_int4(s, {packed.data(), scales.data()}, w.packed.data);
}

Weight make_weight(QuantShape shape) {
  Weight w{shape, {}, {}, AlignedBytes(quant_packed_bytes(shape))};
  const int range = shape.format == QuantFormat::kInt4 ? 16 : 256;
  for (int64_t i = 0; i < shape.n * shape.k; ++i) {
    w.q.push_back(static_cast<int>((i * 2654435761u >> 7) % static_cast<unsigned>(range)) -
                  range / 2);
  }
  for (int64_t i = 0; i < shape.n * quant_groups(shape); ++i) {
    w.scales.push_back((0.5f + static_cast<float>(i % 7) * 0.1f) / static_cast<float>(range) *
                       0.1f);
  }
  shape.scale_dtype == DType::kFloat32 ? pack<float>(w) : pack<Bf16>(w);
  return w;
}

std::vector<QuantShape> shapes() {
  const auto i4 = QuantFormat::kInt4;
  const auto i8 = QuantFormat::kInt8;
  return {{i4, 96, 256, 32, DType::kFloat32},   {i4, 33, 320, 128, DType::kBFloat16},
          {i4, 200, 64, 64, DType::kBFloat16},  {i4, 5, 8, 32, DType::kFloat32},
          {i8, 100, 328, 328, DType::kFloat32}, {i8, 31, 136, 136, DType::kBFloat16},
          {i8, 65, 304, 128, DType::kFloat32}};
}

template <class T>
std::vector<T> run(const CpuKernels& table, const Weight& w, const std::vector<T>& x, int threads) {
  const int64_t rows = static_cast<int64_t>(x.size()) / w.shape.k;
  std::vector<float> bias = numbers(w.shape.n, 9);
  std::vector<T> y(static_cast<size_t>(rows * w.shape.n));
  table.quant_matmul({.weight = w.view(),
                      .x = {x.data(), dtype_of<T>(), w.shape.k},
                      .y = {y.data(), dtype_of<T>(), w.shape.n},
                      .bias = bias.data(),
                      .rows = rows,
                      .threads = threads});
  return y;
}

template <class T>
std::vector<double> expected(const Weight& w, const std::vector<T>& x) {
  const std::vector<float> bias = numbers(w.shape.n, 9);
  std::vector<double> y;
  for (int64_t t = 0; t < static_cast<int64_t>(x.size()) / w.shape.k; ++t) {
    for (int64_t n = 0; n < w.shape.n; ++n) {
      double sum = bias[static_cast<size_t>(n)];
      for (int64_t k = 0; k < w.shape.k; ++k) {
        sum += w.value(n, k) * widen(x[static_cast<size_t>(t * w.shape.k + k)]);
      }
      y.push_back(sum);
    }
  }
  return y;
}

template <class T>
void check_all_tables(const Weight& w, int64_t rows) {
  const std::vector<T> x = numbers<T>(rows * w.shape.k, 3);
  const std::vector<double> truth = expected(w, x);
  for (const CpuKernels* table : all_tables()) {
    CAPTURE(isa_name(table->isa), w.shape.n, w.shape.k, rows);
    const std::vector<T> y = run(*table, w, x, 2);
    check_close(y, truth, 2);
    CHECK(same_bits(y, run(*table, w, x, 1)));
  }
}

template <class T>
void check_rows_alone(const Weight& w) {
  const int64_t rows = 210, k = w.shape.k;
  const std::vector<T> x = numbers<T>(rows * k, 4);
  for (const CpuKernels* table : all_tables()) {
    CAPTURE(isa_name(table->isa));
    const std::vector<T> together = run(*table, w, x, 2);
    for (const int64_t batch : {1, 2, 3, 4, 5, 7, 13}) {
      const std::vector<T> part(x.begin() + 8 * k, x.begin() + (8 + batch) * k);
      const std::vector<T> alone = run(*table, w, part, 2);
      const auto from = together.begin() + 8 * w.shape.n;
      CHECK(same_bits(alone, std::vector<T>(from, from + batch * w.shape.n)));
    }
  }
}

}  // namespace

TEST_CASE("quant_matmul equals the product with the dequantised weight") {
  for (const QuantShape& shape : shapes()) {
    const Weight w = make_weight(shape);
    for (const int64_t rows : {1, 2, 3, 4, 5, 12, 29}) {
      check_all_tables<float>(w, rows);
      check_all_tables<Bf16>(w, rows);
    }
  }
}

TEST_CASE("quant_matmul gives a row the same bits whatever the batch") {
  for (const QuantShape& shape : shapes()) {
    const Weight w = make_weight(shape);
    check_rows_alone<float>(w);
    check_rows_alone<Bf16>(w);
  }
}

TEST_CASE("dequantize_rows gives q * scale of any range of rows") {
  for (const QuantShape& shape : shapes()) {
    const Weight w = make_weight(shape);
    const int64_t begin = shape.n / 3;
    std::vector<float> rows(static_cast<size_t>((shape.n - begin) * shape.k));
    dequantize_rows(w.view(), begin, shape.n, rows.data());
    std::vector<double> truth;
    for (int64_t n = begin; n < shape.n; ++n) {
      for (int64_t k = 0; k < shape.k; ++k) truth.push_back(w.value(n, k));
    }
    check_close(rows, truth);
  }
}

TEST_CASE("a quantised shape that the layout cannot hold is refused") {
  CHECK_THROWS_AS(check_quant_shape({QuantFormat::kInt4, 4, 12, 4}), std::logic_error);
  CHECK_THROWS_AS(check_quant_shape({QuantFormat::kInt8, 4, 16, 4}), std::logic_error);
}
