// SPDX-License-Identifier: Apache-2.0
// Weights-only quantised matmul. See QuantMatmul in kernels.h and the layout in quant_weight.h.
//
// Rows of x are handled in tiles, repacked once per call so that a step of all rows of a tile is
// contiguous. Up to kDirectRows rows, weights go from memory through registers into the product
// (decode, bound by memory). More rows share weights that are unpacked once per group into a panel
// in the first-level cache. Both add the same numbers in the same order, so that a row's result
// does not depend on T: sum within a group from zero, then total = sum * scale + total.
#pragma once

#include "tensor/cpu/kernels.h"
#include "tensor/cpu/simd/quant_unpack.h"
#include "tensor/cpu/simd/scratch.h"

namespace gradus::cpu {
namespace {

constexpr int64_t kDirectRows = 4;
constexpr int64_t kTileRows = 12;     // 24 of 32 registers accumulate
constexpr int64_t kTilesAtOnce = 16;  // row tiles that share one unpacking
constexpr int64_t kPanelColumns = 128;
#if defined(__AVX512F__)
constexpr int64_t kDirectVecs = 8;  // independent sums needed to hide the latency of the product
#else
constexpr int64_t kDirectVecs = 4;
#endif

// T rows in `count` tiles of nearly equal size; tile i begins at row begin(i).
struct RowTiles {
  int64_t rows;
  int64_t count;
  int64_t begin(int64_t i) const { return rows * i / count; }
  int64_t size(int64_t i) const { return begin(i + 1) - begin(i); }
};
inline RowTiles row_tiles(int64_t rows) {
  return {rows, rows <= kDirectRows ? 1 : ceil_div(rows, kTileRows)};
}

template <class P>
struct QuantJob {
  const QuantMatmul& args;
  const typename P::Input* x;  // tile after tile, each [steps, tile rows]
  RowTiles tiles;
  int64_t steps;  // K / P::kColumns
  int64_t groups;
  int64_t block_bytes;
  int64_t scale_bytes;  // of one group of one block

  const std::byte* block(int64_t b) const { return args.weight.data + b * block_bytes; }
  const typename P::Input* tile(int64_t i) const { return x + tiles.begin(i) * steps; }
};

template <class P, class T>
inline void pack_tile(const QuantMatmul& args, int64_t begin, int64_t size,
                      typename P::Input* out) {
  const int64_t steps = args.weight.shape.k / P::kColumns;
  for (int64_t r = 0; r < size; ++r) {
    const T* x = row_of<T>(args.x, begin + r);
    for (int64_t s = 0; s < steps; ++s) out[s * size + r] = P::input(x, s);
  }
}

template <class P, class T>
inline const typename P::Input* pack_inputs(const QuantMatmul& args, const RowTiles& tiles) {
  const int64_t steps = args.weight.shape.k / P::kColumns;
  auto* out = scratch<typename P::Input>(args.rows * steps);
  const int threads = args.rows > kTileRows ? args.threads : 1;
  parallel_for(tiles.count, threads, [&](int64_t i) {
    pack_tile<P, T>(args, tiles.begin(i), tiles.size(i), out + tiles.begin(i) * steps);
  });
  return out;
}

inline Vec load_scales(const std::byte* p, DType dtype, int64_t half) {
  if (dtype == DType::kFloat32) return vload(reinterpret_cast<const float*>(p) + half * kLanes);
  return vload(reinterpret_cast<const Bf16*>(p) + half * kLanes);
}

// Adds the bias and writes 16 outputs of one row, fewer at the right edge.
template <class T>
inline void store_outputs(const QuantMatmul& args, T* y, int64_t n, Vec value) {
  const int64_t count = min_of(kLanes, args.weight.shape.n - n);
  if (count <= 0) return;
  if (args.bias) value = value + vload_n(args.bias + n, min_of(count, kLanes));
  if (count == kLanes) {
    vstore(y + n, value);
  } else {
    vstore_n(y + n, value, count);
  }
}
inline void store_half(const QuantMatmul& args, int64_t row, int64_t n, Vec value) {
  if (args.y.dtype == DType::kFloat32) {
    store_outputs(args, row_of<float>(args.y, row), n, value);
  } else {
    store_outputs(args, row_of<Bf16>(args.y, row), n, value);
  }
}

// How far ahead of the bytes in use to prefetch: kPrefetchBytes on, past the end of a block in the
// block that this stream continues with. The hardware's prefetchers restart in every 4 KiB page;
// one Zen 5 core read 20 GB/s with them alone and 28 with this (K 576, int4).
constexpr int64_t kPrefetchBytes = 2048;
inline int64_t prefetch_offset(int64_t used, int64_t block_bytes, int64_t blocks) {
  const bool inside = used + kPrefetchBytes < block_bytes;
  return kPrefetchBytes + (inside ? 0 : (blocks - 1) * block_bytes);
}

// kRows rows of x times kBlocks neighbouring blocks of weights, straight from memory.
template <class P, QuantFormat F, int kBlocks, int kRows>
inline void direct_blocks(const QuantJob<P>& job, int64_t first) {
  constexpr int64_t kColumns = columns_per_lane(F), kSteps = kColumns / P::kColumns;
  const QuantShape& shape = job.args.weight.shape;
  Vec total[kBlocks][kRows][2];
  for (auto& block : total)
    for (auto& row : block) row[0] = row[1] = vset(0.0f);
  const std::byte* w[kBlocks];
  for (int b = 0; b < kBlocks; ++b) w[b] = job.block(first + b);
  const typename P::Input* x = job.x;
  for (int64_t g = 0; g < job.groups; ++g) {
    const std::byte* scales[kBlocks];
    const int64_t ahead = prefetch_offset(w[0] - job.block(first), job.block_bytes, kBlocks);
    Vec sum[kBlocks][kRows][2];
    for (int b = 0; b < kBlocks; ++b) {
      scales[b] = w[b];
      w[b] += job.scale_bytes;
      for (int r = 0; r < kRows; ++r) sum[b][r][0] = sum[b][r][1] = vset(0.0f);
    }
    const int64_t lanes = min_of(shape.group, shape.k - g * shape.group) / kColumns;
    for (int64_t i = 0; i < lanes; ++i) {
      for (int b = 0; b < kBlocks; ++b) {
        for (int half = 0; half < 2; ++half) {
          __builtin_prefetch(w[b] + ahead + 64 * half);
          const auto factors = P::template unpack<F>(w[b] + 64 * half);
          for (int s = 0; s < kSteps; ++s)
            for (int r = 0; r < kRows; ++r)
              sum[b][r][half] = P::dot(sum[b][r][half], factors.step[s], x[s * kRows + r]);
        }
        w[b] += 128;
      }
      x += kSteps * kRows;
    }
    for (int b = 0; b < kBlocks; ++b)
      for (int half = 0; half < 2; ++half) {
        const Vec scale = load_scales(scales[b], shape.scale_dtype, half);
        for (int r = 0; r < kRows; ++r)
          total[b][r][half] = vfma(sum[b][r][half], scale, total[b][r][half]);
      }
  }
  for (int b = 0; b < kBlocks; ++b)
    for (int r = 0; r < kRows; ++r)
      for (int half = 0; half < 2; ++half)
        store_half(job.args, r, (first + b) * kQuantBlock + half * kLanes, total[b][r][half]);
}

template <class P, QuantFormat F, int kBlocks, int kRows>
inline void direct_some(const QuantJob<P>& job, int64_t first, int64_t count) {
  if constexpr (kBlocks > 1) {
    if (count < kBlocks) return direct_some<P, F, kBlocks - 1, kRows>(job, first, count);
  }
  direct_blocks<P, F, kBlocks, kRows>(job, first);
}

template <class P, QuantFormat F, int kRows>
inline void direct_range(const QuantJob<P>& job, int64_t begin, int64_t end) {
  constexpr int64_t kBlocks = kDirectVecs / (2 * kRows) > 1 ? kDirectVecs / (2 * kRows) : 1;
  const int64_t parts = ceil_div(end - begin, kBlocks);
  for (int64_t i = 0; i < parts; ++i) {
    const int64_t from = begin + (end - begin) * i / parts;
    const int64_t to = begin + (end - begin) * (i + 1) / parts;
    direct_some<P, F, kBlocks, kRows>(job, from, to - from);
  }
}

// Weights of one block and up to kPanelColumns columns, and the sums of the rows that share them.
template <class P>
struct QuantPanel {
  alignas(64) typename P::Factor factors[kPanelColumns / P::kColumns][2];
  alignas(64) Vec sum[kTilesAtOnce * kTileRows][2];
  alignas(64) Vec total[kTilesAtOnce * kTileRows][2];
};

template <class P, QuantFormat F>
inline void fill_panel(QuantPanel<P>& panel, const std::byte* w, int64_t columns) {
  constexpr int64_t kColumns = columns_per_lane(F), kSteps = kColumns / P::kColumns;
  for (int64_t i = 0; i < columns / kColumns; ++i) {
    for (int half = 0; half < 2; ++half) {
      const auto factors = P::template unpack<F>(w + 128 * i + 64 * half);
      for (int s = 0; s < kSteps; ++s) panel.factors[i * kSteps + s][half] = factors.step[s];
    }
  }
}

// One tile of rows times one panel. Sums start at zero at a group's first panel; at its last one
// they are scaled into the totals.
struct PanelPart {
  int64_t steps;
  const std::byte* scales;
  DType scale_dtype;
  bool first, last;
};
template <class P, int kRows>
inline void tile_times_panel(QuantPanel<P>& panel, const PanelPart& part,
                             const typename P::Input* x, int64_t row) {
  Vec sum[kRows][2];
  for (int r = 0; r < kRows; ++r)
    for (int half = 0; half < 2; ++half)
      sum[r][half] = part.first ? vset(0.0f) : panel.sum[row + r][half];
  for (int64_t i = 0; i < part.steps; ++i) {
    const auto w0 = panel.factors[i][0], w1 = panel.factors[i][1];
    for (int r = 0; r < kRows; ++r) {
      sum[r][0] = P::dot(sum[r][0], w0, x[i * kRows + r]);
      sum[r][1] = P::dot(sum[r][1], w1, x[i * kRows + r]);
    }
  }
  for (int half = 0; half < 2; ++half) {
    const Vec scale = load_scales(part.scales, part.scale_dtype, half);
    for (int r = 0; r < kRows; ++r) {
      Vec& total = panel.total[row + r][half];
      if (part.last) {
        total = vfma(sum[r][half], scale, total);
      } else {
        panel.sum[row + r][half] = sum[r][half];
      }
    }
  }
}

template <class P, int kRows = kTileRows>
inline void tile_of_size(int64_t size, QuantPanel<P>& panel, const PanelPart& part,
                         const typename P::Input* x, int64_t row) {
  if constexpr (kRows > 1) {
    if (size < kRows) return tile_of_size<P, kRows - 1>(size, panel, part, x, row);
  }
  tile_times_panel<P, kRows>(panel, part, x, row);
}

// One block of weights times the row tiles [tile0, tile1).
template <class P, QuantFormat F>
inline void panel_block(const QuantJob<P>& job, int64_t b, int64_t tile0, int64_t tile1) {
  const QuantShape& shape = job.args.weight.shape;
  QuantPanel<P> panel;
  const int64_t row0 = job.tiles.begin(tile0), rows = job.tiles.begin(tile1) - row0;
  for (int64_t r = 0; r < rows; ++r) panel.total[r][0] = panel.total[r][1] = vset(0.0f);
  const std::byte* w = job.block(b);
  for (int64_t g = 0; g < job.groups; ++g) {
    const std::byte* scales = w;
    w += job.scale_bytes;
    const int64_t k0 = g * shape.group, k1 = min_of(shape.k, k0 + shape.group);
    for (int64_t k = k0; k < k1; k += kPanelColumns) {
      const int64_t columns = min_of(kPanelColumns, k1 - k);
      fill_panel<P, F>(panel, w, columns);
      w += columns / columns_per_lane(F) * 128;
      const PanelPart part = {columns / P::kColumns, scales, shape.scale_dtype, k == k0,
                              k + columns == k1};
      for (int64_t i = tile0; i < tile1; ++i) {
        const int64_t size = job.tiles.size(i);
        tile_of_size<P>(size, panel, part, job.tile(i) + k / P::kColumns * size,
                        job.tiles.begin(i) - row0);
      }
    }
  }
  for (int64_t r = 0; r < rows; ++r)
    for (int half = 0; half < 2; ++half)
      store_half(job.args, row0 + r, b * kQuantBlock + half * kLanes, panel.total[r][half]);
}

template <class P, QuantFormat F>
inline void quant_range(const QuantJob<P>& job, int64_t begin, int64_t end) {
  switch (job.args.rows) {
    case 1:
      return direct_range<P, F, 1>(job, begin, end);
    case 2:
      return direct_range<P, F, 2>(job, begin, end);
    case 3:
      return direct_range<P, F, 3>(job, begin, end);
    case 4:
      return direct_range<P, F, 4>(job, begin, end);
  }
  for (int64_t tile = 0; tile < job.tiles.count; tile += kTilesAtOnce) {
    const int64_t tile_end = min_of(tile + kTilesAtOnce, job.tiles.count);
    for (int64_t b = begin; b < end; ++b) panel_block<P, F>(job, b, tile, tile_end);
  }
}

template <class P, class T>
inline void quant_matmul_on(const QuantMatmul& args) {
  const QuantShape& s = args.weight.shape;
  const RowTiles tiles = row_tiles(args.rows);
  const int64_t scale_bytes = kQuantBlock * (s.scale_dtype == DType::kFloat32 ? 4 : 2);
  const QuantJob<P> job = {args,
                           pack_inputs<P, T>(args, tiles),
                           tiles,
                           s.k / P::kColumns,
                           ceil_div(s.k, s.group),
                           quant_block_bytes(s),
                           scale_bytes};
  parallel_ranges(ceil_div(s.n, kQuantBlock), args.threads, [&](int64_t begin, int64_t end) {
    if (s.format == QuantFormat::kInt4) {
      quant_range<P, QuantFormat::kInt4>(job, begin, end);
    } else {
      quant_range<P, QuantFormat::kInt8>(job, begin, end);
    }
  });
}

inline void quant_matmul(const QuantMatmul& args) {
  if (args.rows <= 0) return;
  if (args.x.dtype == DType::kFloat32) return quant_matmul_on<FloatPath, float>(args);
#if defined(__AVX512BF16__)
  quant_matmul_on<Bf16Path, Bf16>(args);
#else
  quant_matmul_on<FloatPath, Bf16>(args);
#endif
}

}  // namespace
}  // namespace gradus::cpu
