// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <iterator>

#include "base/error.h"
#include "base/float16.h"
#include "base/parallel.h"
#include "model/formats/gguf_tensors.h"

namespace gradus {
namespace {

constexpr FloatFormat kFormats[] = {
    {"float32", "F32", 4}, {"bfloat16", "BF16", 2}, {"float16", "F16", 2}};

using Buffer = std::vector<std::byte>;

// Rounds in fp16 and bf16 so that an overflow shows as infinity; returns whether all are finite.
template <uint16_t (*kNarrow)(float), uint16_t kExponent>
bool narrow_row(std::span<const float> in, std::byte* out) {
  bool finite = true;
  for (size_t i = 0; i < in.size(); ++i) {
    const uint16_t bits = kNarrow(in[i]);
    finite &= (bits & kExponent) != kExponent;
    std::memcpy(out + 2 * i, &bits, sizeof bits);
  }
  return finite;
}

bool copy_row(std::span<const float> in, std::byte* out) {
  bool finite = true;
  for (const float value : in) finite &= std::isfinite(value);
  std::memcpy(out, in.data(), in.size_bytes());
  return finite;
}

using WriteRow = bool (*)(std::span<const float> in, std::byte* out);

WriteRow row_writer(const FloatFormat& format) {
  if (format.safetensors == std::string_view("F32")) return copy_row;
  if (format.safetensors == std::string_view("BF16"))
    return narrow_row<bfloat16_from_float, 0x7f80>;
  return narrow_row<half_from_float, 0x7c00>;
}

// A vector is one row in the file, but its entries are the rows of the permutation.
void interleaved_vector(const PlacedTensor& placed, std::span<float> values) {
  const std::vector<float> stored(values.begin(), values.end());
  const auto rows = static_cast<int64_t>(stored.size());
  const int64_t head_dim = rows / placed.interleaved_heads;
  for (int64_t i = 0; i < rows; ++i) {
    values[static_cast<size_t>(i)] = stored[static_cast<size_t>(interleaved_row(i, head_dim))];
  }
}

void read_row(const PlacedTensor& placed, int64_t row, std::span<float> values) {
  const GgufTensor& tensor = *placed.source;
  const bool permuted = placed.interleaved_heads > 0;
  const bool is_vector = tensor.shape.size() == 1;
  const int64_t from =
      permuted && !is_vector ? interleaved_row(row, tensor.rows() / placed.interleaved_heads) : row;
  dequantize_gguf_row(tensor, from, values);
  if (permuted && is_vector) interleaved_vector(placed, values);
}

void convert(const PlacedTensor& placed, const FloatFormat& format, Buffer& buffer) {
  const GgufTensor& tensor = *placed.source;
  const int64_t row_bytes = tensor.row_elements() * format.bytes;
  buffer.resize(static_cast<size_t>(tensor.rows() * row_bytes));
  const WriteRow write_row = row_writer(format);
  std::atomic<bool> finite = true;
  constexpr int64_t kGrainElements = 1 << 16;
  const int64_t grain = std::max<int64_t>(1, kGrainElements / tensor.row_elements());
  parallel_for(tensor.rows(), grain, [&](int64_t begin, int64_t end) {
    std::vector<float> values(static_cast<size_t>(tensor.row_elements()));
    for (int64_t row = begin; row < end; ++row) {
      read_row(placed, row, values);
      if (!write_row(values, buffer.data() + row * row_bytes)) finite = false;
    }
  });
  if (finite) return;
  throw Error({.what = cat("holds values that are not finite in ", format.name),
               .hint = "the file is damaged, or the dtype is too narrow for it"});
}

}  // namespace

const FloatFormat& float_format(const std::string& name) {
  const auto found = std::find_if(std::begin(kFormats), std::end(kFormats),
                                  [&](const FloatFormat& format) { return name == format.name; });
  if (found != std::end(kFormats)) return *found;
  throw UsageError("dtype must be float32, bfloat16 or float16, not '" + printable(name) + "'");
}

std::vector<TensorSource> convert_gguf_tensors(const std::vector<PlacedTensor>& tensors,
                                               const FloatFormat& format,
                                               const std::string& where) {
  const auto buffer = std::make_shared<Buffer>();
  std::vector<TensorSource> sources;
  sources.reserve(tensors.size());
  for (const PlacedTensor& placed : tensors) {
    const auto make = [placed, &format, buffer, where]() -> std::span<const std::byte> {
      try {
        convert(placed, format, *buffer);
      } catch (const Error& error) {
        ErrorParts parts = error.parts();
        parts.where = where + ": tensor '" + printable(placed.source->name) + "'";
        throw Error(parts);
      }
      return *buffer;
    };
    sources.push_back({placed.name, format.safetensors, placed.source->shape, make});
  }
  return sources;
}

}  // namespace gradus
