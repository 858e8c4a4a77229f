// SPDX-License-Identifier: Apache-2.0
#include "unit/tensor/cpu_support.h"

using namespace gradus::cpu_test;

namespace {

struct Shape {
  int64_t heads, kv_heads, head_dim, page_tokens, window;
  float softcap;
  bool tokens_first;  // page layout [page_tokens, Hkv, Dh] instead of [Hkv, page_tokens, Dh]
};

// Sequences of random keys and values, paged.
template <class T, class C>
struct Batch {
  Shape shape;
  std::vector<std::vector<T>> q, out;
  std::vector<std::vector<std::vector<C>>> k, v;  // [sequence][page]
  std::vector<std::vector<const void*>> k_pages, v_pages;
  std::vector<DecodeSequence> sequences;

  Batch(const Shape& s, const std::vector<int64_t>& lengths) : shape(s) {
    const size_t count = lengths.size();
    for (auto* list : {&q, &out}) list->resize(count);
    for (auto* list : {&k, &v}) list->resize(count);
    for (auto* list : {&k_pages, &v_pages}) list->resize(count);
    for (size_t i = 0; i < count; ++i) {
      q[i] = numbers<T>(s.heads * s.head_dim, 10 + i);
      out[i].resize(q[i].size());
      const int64_t pages = (lengths[i] + s.page_tokens - 1) / s.page_tokens;
      for (int64_t p = 0; p < pages; ++p) {
        const auto seed = 100 * i + static_cast<uint64_t>(p);
        k[i].push_back(numbers<C>(s.page_tokens * s.kv_heads * s.head_dim, 1000 + seed));
        v[i].push_back(numbers<C>(s.page_tokens * s.kv_heads * s.head_dim, 2000 + seed));
      }
      for (const auto& page : k[i]) k_pages[i].push_back(page.data());
      for (const auto& page : v[i]) v_pages[i].push_back(page.data());
      sequences.push_back(
          {q[i].data(), out[i].data(), k_pages[i].data(), v_pages[i].data(), lengths[i]});
    }
  }
  int64_t token_stride() const {
    return shape.tokens_first ? shape.kv_heads * shape.head_dim : shape.head_dim;
  }
  int64_t head_stride() const {
    return shape.tokens_first ? shape.head_dim : shape.page_tokens * shape.head_dim;
  }
  const C* row(const std::vector<std::vector<C>>& pages, int64_t head, int64_t t) const {
    return pages[static_cast<size_t>(t / shape.page_tokens)].data() + head * head_stride() +
           t % shape.page_tokens * token_stride();
  }
  void run(const CpuKernels& table, int threads) {
    DecodeAttention args = {.sequences = sequences.data(),
                            .sequence_count = static_cast<int64_t>(sequences.size()),
                            .dtype = dtype_of<T>(),
                            .cache_dtype = dtype_of<C>(),
                            .heads = shape.heads,
                            .kv_heads = shape.kv_heads,
                            .head_dim = shape.head_dim,
                            .page_tokens = shape.page_tokens,
                            .token_stride = token_stride(),
                            .head_stride = head_stride(),
                            .scale = 0.17f,
                            .softcap = shape.softcap,
                            .window = shape.window,
                            .threads = threads};
    std::vector<float> workspace(static_cast<size_t>(decode_attention_workspace(args)), NAN);
    args.workspace = workspace.data();
    table.decode_attention(args);
  }
  std::vector<double> expected(size_t i) const {
    std::vector<double> result;
    for (int64_t h = 0; h < shape.heads; ++h) {
      const int64_t kv = h / (shape.heads / shape.kv_heads), length = sequences[i].length;
      const int64_t start = shape.window ? std::max<int64_t>(0, length - shape.window) : 0;
      std::vector<double> sum(static_cast<size_t>(shape.head_dim));
      double total = 0;
      for (int64_t t = start; t < length; ++t) {
        double score = 0;
        for (int64_t d = 0; d < shape.head_dim; ++d) {
          score += static_cast<double>(widen(q[i][static_cast<size_t>(h * shape.head_dim + d)])) *
                   static_cast<double>(widen(row(k[i], kv, t)[d]));
        }
        score *= static_cast<double>(0.17f);
        if (shape.softcap > 0) {
          score = static_cast<double>(shape.softcap) *
                  std::tanh(score / static_cast<double>(shape.softcap));
        }
        const double p = std::exp(score);
        total += p;
        for (int64_t d = 0; d < shape.head_dim; ++d) {
          sum[static_cast<size_t>(d)] += p * static_cast<double>(widen(row(v[i], kv, t)[d]));
        }
      }
      for (const double s : sum) result.push_back(s / total);
    }
    return result;
  }
};

template <class T, class C>
void check(const CpuKernels& table, const Shape& shape) {
  CAPTURE(isa_name(table.isa), shape.heads, shape.kv_heads, shape.head_dim, shape.page_tokens);
  const std::vector<int64_t> lengths = {1, 300, 17, 1030};
  Batch<T, C> batch(shape, lengths);
  batch.run(table, 2);
  const std::vector<std::vector<T>> together = batch.out;
  for (size_t i = 0; i < lengths.size(); ++i) {
    check_close(together[i], batch.expected(i), 3);  // scores are sums of products up to 4
  }
  batch.run(table, 1);
  for (size_t i = 0; i < lengths.size(); ++i) CHECK(same_bits(batch.out[i], together[i]));
}

}  // namespace

TEST_CASE("decode attention equals plain softmax attention for every cache layout") {
  for (const CpuKernels* table : all_tables()) {
    for (const Shape& shape :
         {Shape{9, 3, 64, 2048, 0, 0, false}, Shape{4, 4, 16, 16, 0, 0, true},
          Shape{8, 1, 128, 64, 200, 0, false}, Shape{6, 2, 80, 300, 0, 5, true},
          Shape{10, 2, 256, 96, 37, 0, false}}) {
      check<float, float>(*table, shape);
      check<Bf16, Bf16>(*table, shape);
      check<float, Bf16>(*table, shape);
    }
  }
}

TEST_CASE("a sequence alone has the bits it has in a batch") {
  const Shape shape = {9, 3, 64, 128, 0, 0, false};
  for (const CpuKernels* table : all_tables()) {
    Batch<Bf16, Bf16> batch(shape, {40, 900, 7});
    batch.run(*table, 2);
    const std::vector<Bf16> in_batch = batch.out[1];
    batch.sequences = {batch.sequences[1]};
    batch.run(*table, 2);
    CHECK(same_bits(batch.out[1], in_batch));
  }
}

TEST_CASE("a NaN in the cache reaches the output") {
  Batch<float, float> batch({2, 1, 16, 64, 0, 0, false}, {20});
  batch.k[0][0][5 * 16] = NAN;
  for (const CpuKernels* table : all_tables()) {
    batch.run(*table, 1);
    CHECK(std::isnan(batch.out[0][0]));
  }
}
