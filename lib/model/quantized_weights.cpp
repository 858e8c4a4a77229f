// SPDX-License-Identifier: Apache-2.0
#include "model/quantized_weights.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/float16.h"
#include "base/json.h"
#include "base/parallel.h"
#include "model/copy_weights.h"
#include "model/folder.h"

namespace gradus {
namespace {

using Shape = std::vector<int64_t>;

int64_t ceil_div(int64_t a, int64_t b) { return a / b + (a % b != 0); }

int64_t groups_of(const QuantizationConfig& config, int64_t columns) {
  return config.group_size == 0 ? 1 : ceil_div(columns, config.group_size);
}

[[noreturn]] void misfit(const std::string& where, const std::string& expected,
                         const std::string& found) {
  throw Error({.what = "the parts of a quantised weight do not fit together",
               .where = where,
               .expected = expected,
               .found = found});
}

// A stored tensor's numbers, of one of the dtypes that can be meant.
template <class Number>
std::vector<Number> read_numbers(const StoredTensor& stored, const std::string& where) {
  std::vector<Number> out(stored.bytes.size() / sizeof(Number));
  stored.read(0, std::as_writable_bytes(std::span(out)));
  if (stored.bytes.size() % sizeof(Number) != 0) misfit(where, "whole numbers", stored.dtype);
  return out;
}

void expect_dtype(const StoredTensor& stored, const char* dtype, const std::string& where) {
  if (stored.dtype != dtype) misfit(where, dtype, printable(stored.dtype));
}

std::vector<uint32_t> read_words(const StoredTensor& stored, const std::string& where) {
  expect_dtype(stored, "I32", where);
  return read_numbers<uint32_t>(stored, where);
}

// fp32, or bf16 where stored so.
std::vector<float> read_floats(const StoredTensor& stored, const std::string& where) {
  if (stored.dtype == "F32") return read_numbers<float>(stored, where);
  if (stored.dtype != "F16" && stored.dtype != "BF16")
    misfit(where, "F32, F16 or BF16", printable(stored.dtype));
  const bool half = stored.dtype == "F16";
  std::vector<float> out;
  for (const uint16_t bits : read_numbers<uint16_t>(stored, where))
    out.push_back(half ? float_from_half(bits) : float_from_bfloat16(bits));
  return out;
}

// w[n, k] = (raw[n, k] - zero[n, g]) · scale[n, g] with g = group[k].
struct Grid {
  int bits = 4;
  int64_t rows = 0, columns = 0, groups = 1, group_size = 0;
  bool narrow_scales = false;       // they were bf16
  std::vector<uint8_t> raw;         // [rows, columns]
  std::vector<int32_t> zeros;       // [rows, groups]
  std::vector<float> scales;        // [rows, groups]
  std::vector<int32_t> group = {};  // [columns]

  int32_t middle() const { return 1 << (bits - 1); }
  int64_t size() const { return rows * columns; }
};

Grid make_grid(const QuantizationConfig& config, int64_t rows, int64_t columns) {
  Grid grid{.bits = config.bits,
            .rows = rows,
            .columns = columns,
            .groups = groups_of(config, columns),
            .group_size = config.group_size,
            .raw = {},
            .zeros = {},
            .scales = {}};
  grid.raw.resize(static_cast<size_t>(grid.size()));
  grid.zeros.assign(static_cast<size_t>(rows * grid.groups), grid.middle());
  for (int64_t k = 0; k < columns; ++k)
    grid.group.push_back(static_cast<int32_t>(config.group_size == 0 ? 0 : k / config.group_size));
  return grid;
}

// Calls body(n) for all rows, in parallel.
void for_rows(const Grid& grid, const std::function<void(int64_t)>& body) {
  parallel_for(grid.rows, std::max<int64_t>(1, 65536 / grid.columns),
               [&](int64_t begin, int64_t end) {
                 for (int64_t n = begin; n < end; ++n) body(n);
               });
}

// Values of `bits` bits in words, lowest first.
struct Packed {
  const std::vector<uint32_t>& words;
  int bits;
  int64_t width;  // words per row

  int64_t per_word() const { return 32 / bits; }
  uint8_t field(int64_t word, int64_t index) const {
    return static_cast<uint8_t>((words[static_cast<size_t>(word)] >> (bits * index)) &
                                ((1u << bits) - 1));
  }
  uint8_t along_row(int64_t row, int64_t i) const {
    return field(row * width + i / per_word(), i % per_word());
  }
  uint8_t down_column(int64_t i, int64_t column) const {
    return field(i / per_word() * width + column, i % per_word());
  }
};

// Scales [rows, groups] from what is stored as that, as [rows], or as one number.
void take_scales(Grid& grid, const StoredTensor& stored, const std::string& where) {
  const std::vector<float> values = read_floats(stored, where);
  grid.narrow_scales = stored.dtype == "BF16";
  const auto wanted = static_cast<size_t>(grid.rows * grid.groups);
  if (values.size() == wanted)
    grid.scales = values;
  else if (values.size() == 1)
    grid.scales.assign(wanted, values[0]);
  else
    misfit(where, cat(grid.rows, " x ", grid.groups, " scales"), cat(values.size()));
}

// Scales [groups, rows].
void take_transposed_scales(Grid& grid, const StoredTensor& stored, const std::string& where) {
  const std::vector<float> values = read_floats(stored, where);
  grid.narrow_scales = stored.dtype == "BF16";
  grid.scales.resize(values.size());
  for (int64_t n = 0; n < grid.rows; ++n) {
    for (int64_t g = 0; g < grid.groups; ++g)
      grid.scales[static_cast<size_t>(n * grid.groups + g)] =
          values[static_cast<size_t>(g * grid.rows + n)];
  }
}

// The group of each column, where the order of activations decides it; -1: not used.
void take_order(Grid& grid, const StoredTensor& stored, const std::string& where) {
  expect_dtype(stored, "I32", where);
  const auto order = read_numbers<int32_t>(stored, where);
  if (!order.empty() && order[0] == -1) return;
  for (size_t k = 0; k < order.size(); ++k) {
    if (order[k] < 0 || order[k] >= grid.groups)
      misfit(where, cat("groups from 0 to ", grid.groups - 1), cat(order[k]));
    grid.group[k] = order[k];
  }
}

Grid read_int8(const QuantizationConfig& config, const StoredProjection& stored, Grid grid,
               const std::string& where) {
  const StoredTensor& weight = *stored.at(".weight");
  expect_dtype(weight, "I8", where);
  weight.read(0, std::as_writable_bytes(std::span(grid.raw)));
  for (uint8_t& value : grid.raw) value ^= 0x80;  // + 128
  if (!config.symmetric) {
    const StoredTensor& zeros = *stored.at(".weight_zero_point");
    expect_dtype(zeros, "I8", where);
    const auto values = read_numbers<int8_t>(zeros, where);
    if (values.size() != grid.zeros.size() && values.size() != 1)
      misfit(where, cat(grid.zeros.size(), " zero points"), cat(values.size()));
    for (size_t i = 0; i < grid.zeros.size(); ++i)
      grid.zeros[i] = values[values.size() == 1 ? 0 : i] + 128;
  }
  take_scales(grid, *stored.at(".weight_scale"), where);
  return grid;
}

Grid read_packed(const QuantizationConfig& config, const StoredProjection& stored, Grid grid,
                 const std::string& where) {
  const auto words = read_words(*stored.at(".weight_packed"), where);
  const Packed packed{words, grid.bits, ceil_div(grid.columns * grid.bits, 32)};
  for_rows(grid, [&](int64_t n) {
    for (int64_t k = 0; k < grid.columns; ++k)
      grid.raw[static_cast<size_t>(n * grid.columns + k)] = packed.along_row(n, k);
  });
  const auto shape = read_numbers<int64_t>(*stored.at(".weight_shape"), where);
  if (shape != Shape{grid.rows, grid.columns})
    misfit(where, cat("weight_shape [", grid.rows, ", ", grid.columns, "]"), Json(shape).dump());
  if (!config.symmetric) {
    const auto zero_words = read_words(*stored.at(".weight_zero_point"), where);
    const Packed zeros{zero_words, grid.bits, grid.groups};
    for (int64_t n = 0; n < grid.rows; ++n) {
      for (int64_t g = 0; g < grid.groups; ++g)
        grid.zeros[static_cast<size_t>(n * grid.groups + g)] = zeros.down_column(n, g);
    }
  }
  take_scales(grid, *stored.at(".weight_scale"), where);
  if (stored.contains(".weight_g_idx")) take_order(grid, *stored.at(".weight_g_idx"), where);
  return grid;
}

Grid read_gptq(const QuantizationConfig& config, const StoredProjection& stored, Grid grid,
               const std::string& where) {
  const auto words = read_words(*stored.at(".qweight"), where);
  const auto zero_words = read_words(*stored.at(".qzeros"), where);
  const Packed packed{words, grid.bits, grid.rows};
  const Packed zeros{zero_words, grid.bits, grid.rows * grid.bits / 32};
  for_rows(grid, [&](int64_t n) {
    for (int64_t k = 0; k < grid.columns; ++k)
      grid.raw[static_cast<size_t>(n * grid.columns + k)] = packed.down_column(k, n);
    for (int64_t g = 0; g < grid.groups; ++g)
      grid.zeros[static_cast<size_t>(n * grid.groups + g)] =
          zeros.along_row(g, n) + (config.zeros_minus_one ? 1 : 0);
  });
  take_transposed_scales(grid, *stored.at(".scales"), where);
  if (stored.contains(".g_idx")) take_order(grid, *stored.at(".g_idx"), where);
  return grid;
}

// AutoAWQ's order of eight columns in a word: which field holds column 0, 1, … 7.
constexpr int64_t kAwqField[8] = {0, 4, 1, 5, 2, 6, 3, 7};

Grid read_awq(const StoredProjection& stored, Grid grid, const std::string& where) {
  const auto words = read_words(*stored.at(".qweight"), where);
  const auto zero_words = read_words(*stored.at(".qzeros"), where);
  const int64_t width = grid.rows / 8;
  const Packed packed{words, 4, width}, zeros{zero_words, 4, width};
  for_rows(grid, [&](int64_t n) {
    const int64_t word = n / 8, field = kAwqField[n % 8];
    for (int64_t k = 0; k < grid.columns; ++k)
      grid.raw[static_cast<size_t>(n * grid.columns + k)] = packed.field(k * width + word, field);
    for (int64_t g = 0; g < grid.groups; ++g)
      grid.zeros[static_cast<size_t>(n * grid.groups + g)] = zeros.field(g * width + word, field);
  });
  take_transposed_scales(grid, *stored.at(".scales"), where);
  return grid;
}

bool is_exact(const Grid& grid) {
  if (grid.columns % 8 != 0 || grid.group_size % 8 != 0) return false;
  for (int64_t k = 0; k < grid.columns; ++k) {
    const int64_t in_order = grid.group_size == 0 ? 0 : k / grid.group_size;
    if (grid.group[static_cast<size_t>(k)] != in_order) return false;
  }
  return std::all_of(grid.zeros.begin(), grid.zeros.end(),
                     [&](int32_t zero) { return zero == grid.middle(); });
}

at::Tensor exact_values(const Grid& grid) {
  if (grid.bits == 8) {
    at::Tensor values = at::empty({grid.rows, grid.columns}, at::kChar);
    auto* out = static_cast<uint8_t*>(values.mutable_data_ptr());
    for (size_t i = 0; i < grid.raw.size(); ++i) out[i] = grid.raw[i] ^ 0x80;
    return values;
  }
  at::Tensor values = at::empty({grid.rows, grid.columns / 8}, at::kInt);
  auto* out = reinterpret_cast<uint32_t*>(values.mutable_data_ptr());
  for (int64_t word = 0; word < grid.size() / 8; ++word) {
    uint32_t bits = 0;
    for (int i = 0; i < 8; ++i)
      bits |= static_cast<uint32_t>(grid.raw[static_cast<size_t>(word * 8 + i)]) << (4 * i);
    out[word] = bits;
  }
  return values;
}

QuantizedTensor exact_tensor(const Grid& grid) {
  QuantizedTensor out{.bits = grid.bits, .group_size = grid.group_size};
  out.values = exact_values(grid);
  at::Tensor scales = at::empty({grid.rows, grid.groups}, at::kFloat);
  std::copy(grid.scales.begin(), grid.scales.end(), scales.mutable_data_ptr<float>());
  out.scales = grid.narrow_scales ? scales.to(at::kBFloat16) : scales;
  return out;
}

at::Tensor expanded(const Grid& grid) {
  at::Tensor dense = at::empty({grid.rows, grid.columns}, at::kFloat);
  auto* out = dense.mutable_data_ptr<float>();
  for_rows(grid, [&](int64_t n) {
    for (int64_t k = 0; k < grid.columns; ++k) {
      const int64_t at = n * grid.columns + k;
      const auto g = static_cast<size_t>(n * grid.groups + grid.group[static_cast<size_t>(k)]);
      out[at] =
          static_cast<float>(grid.raw[static_cast<size_t>(at)] - grid.zeros[g]) * grid.scales[g];
    }
  });
  return dense;
}

// OCP 8-bit float e4m3fn: no infinity, NaN is all ones.
float float_from_e4m3(uint8_t bits) {
  const int exponent = (bits >> 3) & 15, fraction = bits & 7;
  if ((bits & 0x7f) == 0x7f) return std::nanf("");
  const float magnitude = exponent == 0
                              ? std::ldexp(static_cast<float>(fraction), -9)
                              : std::ldexp(static_cast<float>(8 + fraction), exponent - 10);
  return bits & 0x80 ? -magnitude : magnitude;
}

at::Tensor read_float8(const QuantizationConfig& config, const StoredProjection& stored,
                       int64_t rows, int64_t columns, const std::string& where) {
  const StoredTensor& weight = *stored.at(".weight");
  expect_dtype(weight, "F8_E4M3", where);
  const auto codes = read_numbers<uint8_t>(weight, where);
  const std::vector<float> scales = read_floats(*stored.at(".weight_scale"), where);
  constexpr int64_t kBlock = 128;
  const int64_t across = ceil_div(columns, kBlock);
  const auto wanted =
      static_cast<size_t>(config.block_scales ? ceil_div(rows, kBlock) * across : rows);
  if (scales.size() != wanted && (config.block_scales || scales.size() != 1))
    misfit(where, cat(wanted, " scales"), cat(scales.size()));
  float table[256];
  for (int i = 0; i < 256; ++i) table[i] = float_from_e4m3(static_cast<uint8_t>(i));
  at::Tensor dense = at::empty({rows, columns}, at::kFloat);
  auto* out = dense.mutable_data_ptr<float>();
  for (int64_t n = 0; n < rows; ++n) {
    for (int64_t k = 0; k < columns; ++k) {
      const int64_t row_scale = scales.size() == 1 ? 0 : n;
      const int64_t index = config.block_scales ? n / kBlock * across + k / kBlock : row_scale;
      out[n * columns + k] =
          table[codes[static_cast<size_t>(n * columns + k)]] * scales[static_cast<size_t>(index)];
    }
  }
  return dense;
}

// bitsandbytes' description of one weight, a JSON text in a tensor of bytes.
struct Nf4State {
  int64_t block = 64, nested_block = 256;
  float nested_offset = 0;
};

Nf4State read_state(const StoredTensor& stored, int64_t rows, int64_t columns,
                    const std::string& where) {
  constexpr size_t kMostBytes = 1 << 16;
  if (stored.bytes.size() > kMostBytes)
    misfit(where, "a short quant_state", cat(stored.bytes.size()));
  const auto text = read_numbers<char>(stored, where);
  const Json json = parse_json({text.data(), text.size()}, where + " quant_state");
  Nf4State state;
  state.block = json_get<int64_t>(json, "blocksize", where);
  state.nested_block = json_get<int64_t>(json, "nested_blocksize", int64_t{256}, where);
  state.nested_offset = static_cast<float>(json_get<double>(json, "nested_offset", 0.0, where));
  const Json shape = json_get<Json>(json, "shape", where);
  if (shape != Json(Shape{rows, columns}))
    misfit(where, Json(Shape{rows, columns}).dump(), printable(shape.dump()));
  if (state.block < 1 || state.block > 1 << 16)
    misfit(where, "a block size from 1 to 65536", cat(state.block));
  if (state.nested_block < 1 || state.nested_block > 1 << 24)
    misfit(where, "a nested block size from 1 to 2^24", cat(state.nested_block));
  return state;
}

// The largest magnitude of each block; themselves in 8 bits where they are nested.
std::vector<float> block_maxima(const StoredProjection& stored, const Nf4State& state,
                                const std::string& where) {
  const StoredTensor& absmax = *stored.at(".weight.absmax");
  if (absmax.dtype != "U8") return read_floats(absmax, where);
  if (!stored.contains(".weight.nested_absmax") || !stored.contains(".weight.nested_quant_map"))
    misfit(where, "nested_absmax and nested_quant_map", "8-bit absmax without them");
  const auto outer = read_floats(*stored.at(".weight.nested_absmax"), where);
  const auto table = read_floats(*stored.at(".weight.nested_quant_map"), where);
  const auto codes = read_numbers<uint8_t>(absmax, where);
  const auto blocks =
      static_cast<size_t>(ceil_div(static_cast<int64_t>(codes.size()), state.nested_block));
  if (table.size() != 256 || outer.size() != blocks)
    misfit(where, cat("256 and ", blocks, " nested numbers"),
           cat(table.size(), " and ", outer.size()));
  std::vector<float> maxima;
  for (size_t i = 0; i < codes.size(); ++i)
    maxima.push_back(table[codes[i]] * outer[i / static_cast<size_t>(state.nested_block)] +
                     state.nested_offset);
  return maxima;
}

at::Tensor read_nf4(const StoredProjection& stored, int64_t rows, int64_t columns,
                    const std::string& where) {
  const Nf4State state =
      read_state(*stored.at(".weight.quant_state.bitsandbytes__nf4"), rows, columns, where);
  const std::vector<float> maxima = block_maxima(stored, state, where);
  const std::vector<float> table = read_floats(*stored.at(".weight.quant_map"), where);
  expect_dtype(*stored.at(".weight"), "U8", where);
  const auto codes = read_numbers<uint8_t>(*stored.at(".weight"), where);
  const int64_t count = rows * columns;
  if (static_cast<int64_t>(codes.size()) != ceil_div(count, 2) || table.size() != 16 ||
      static_cast<int64_t>(maxima.size()) != ceil_div(count, state.block))
    misfit(where, cat(ceil_div(count, 2), " bytes in blocks of ", state.block),
           cat(codes.size(), " bytes, ", maxima.size(), " maxima, ", table.size(), " values"));
  at::Tensor dense = at::empty({rows, columns}, at::kFloat);
  auto* out = dense.mutable_data_ptr<float>();
  for (int64_t i = 0; i < count; ++i) {
    const uint8_t code = codes[static_cast<size_t>(i / 2)];
    out[i] =
        table[i % 2 == 0 ? code >> 4 : code & 15] * maxima[static_cast<size_t>(i / state.block)];
  }
  return dense;
}

Grid read_grid(const QuantizationConfig& config, const StoredProjection& stored, Grid grid,
               const std::string& where) {
  if (config.layout == QuantLayout::kInt) return read_int8(config, stored, std::move(grid), where);
  if (config.layout == QuantLayout::kPacked)
    return read_packed(config, stored, std::move(grid), where);
  if (config.layout == QuantLayout::kGptq) return read_gptq(config, stored, std::move(grid), where);
  return read_awq(stored, std::move(grid), where);
}

}  // namespace

const char* stored_mark(const QuantizationConfig& config) {
  switch (config.layout) {
    case QuantLayout::kPacked:
      return ".weight_packed";
    case QuantLayout::kGptq:
    case QuantLayout::kAwq:
      return ".qweight";
    case QuantLayout::kNf4:
      return ".weight.quant_state.bitsandbytes__nf4";
    case QuantLayout::kInt:
    case QuantLayout::kFloat8:
      break;
  }
  return ".weight_scale";
}

std::vector<StoredSpec> stored_specs(const QuantizationConfig& config, int64_t N, int64_t K) {
  const int64_t G = groups_of(config, K), per_word = 32 / config.bits;
  switch (config.layout) {
    case QuantLayout::kInt: {
      std::vector<StoredSpec> specs{
          {".weight", {N, K}}, {".weight_scale"}, {".input_scale", {}, true}};
      if (!config.symmetric) specs.push_back({".weight_zero_point"});
      return specs;
    }
    case QuantLayout::kPacked: {
      std::vector<StoredSpec> specs{{".weight_packed", {N, ceil_div(K, per_word)}},
                                    {".weight_scale"},
                                    {".weight_shape", {2}},
                                    {".weight_g_idx", {K}, true}};
      if (!config.symmetric) specs.push_back({".weight_zero_point", {ceil_div(N, per_word), G}});
      return specs;
    }
    case QuantLayout::kFloat8:
      return {{".weight", {N, K}}, {".weight_scale"}, {".input_scale", {}, true}};
    case QuantLayout::kGptq:
      return {{".qweight", {ceil_div(K, per_word), N}},
              {".qzeros", {G, N / per_word}},
              {".scales", {G, N}},
              {".g_idx", {K}, true}};
    case QuantLayout::kAwq:
      return {{".qweight", {K, N / 8}}, {".qzeros", {G, N / 8}}, {".scales", {G, N}}};
    case QuantLayout::kNf4:
      break;
  }
  return {{".weight"},
          {".weight.absmax"},
          {".weight.quant_map", {16}},
          {".weight.quant_state.bitsandbytes__nf4"},
          {".weight.nested_absmax", {}, true},
          {".weight.nested_quant_map", {}, true}};
}

ProjectionWeight read_projection(const QuantizationConfig& config, const StoredProjection& stored,
                                 int64_t rows, int64_t columns, const std::string& where) {
  if (config.layout == QuantLayout::kFloat8)
    return {.exact = {}, .dense = read_float8(config, stored, rows, columns, where)};
  if (config.layout == QuantLayout::kNf4)
    return {.exact = {}, .dense = read_nf4(stored, rows, columns, where)};
  const bool packed_rows =
      config.layout == QuantLayout::kGptq || config.layout == QuantLayout::kAwq;
  if (packed_rows && (rows % (32 / config.bits) != 0 || columns % (32 / config.bits) != 0))
    misfit(where, cat("multiples of ", 32 / config.bits), cat(rows, " x ", columns));
  const Grid grid = read_grid(config, stored, make_grid(config, rows, columns), where);
  for (const float scale : grid.scales) {
    if (!std::isfinite(scale))
      throw Error({.what = "scales contain NaN or infinity", .where = where});
  }
  if (is_exact(grid)) return {.exact = exact_tensor(grid), .dense = {}};
  return {.exact = {}, .dense = expanded(grid)};
}

at::Tensor dense_weight(const ProjectionWeight& weight, int64_t columns) {
  return weight.exact ? dequantize(*weight.exact, columns) : weight.dense;
}

}  // namespace gradus
