// SPDX-License-Identifier: Apache-2.0
#include "model/gguf/convert.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <iterator>
#include <memory>

#include "base/error.h"
#include "base/float16.h"
#include "base/parallel.h"
#include "base/signals.h"
#include "model/formats/gguf_quantize.h"

namespace gradus {
namespace {

constexpr FloatFormat kFormats[] = {
    {"float32", "F32", 4}, {"bfloat16", "BF16", 2}, {"float16", "F16", 2}};
constexpr int64_t kGrainElements = 1 << 16;

using Buffer = std::vector<std::byte>;

// Writes every `step`-th number of `out`. Rounds in fp16 and bf16 so that an overflow shows as
// infinity; returns whether all are finite.
template <uint16_t (*kNarrow)(float), uint16_t kExponent>
bool narrow_row(std::span<const float> in, std::byte* out, int64_t step) {
  bool finite = true;
  for (size_t i = 0; i < in.size(); ++i) {
    const uint16_t bits = kNarrow(in[i]);
    finite &= (bits & kExponent) != kExponent;
    std::memcpy(out + 2 * static_cast<int64_t>(i) * step, &bits, sizeof bits);
  }
  return finite;
}

bool copy_row(std::span<const float> in, std::byte* out, int64_t step) {
  bool finite = true;
  for (const float value : in) finite &= std::isfinite(value);
  if (step == 1) {
    std::memcpy(out, in.data(), in.size_bytes());
    return finite;
  }
  for (size_t i = 0; i < in.size(); ++i) {
    std::memcpy(out + 4 * static_cast<int64_t>(i) * step, &in[i], sizeof in[i]);
  }
  return finite;
}

using WriteRow = bool (*)(std::span<const float> in, std::byte* out, int64_t step);

WriteRow row_writer(const FloatFormat& format) {
  if (format.safetensors == std::string_view("F32")) return copy_row;
  if (format.safetensors == std::string_view("BF16"))
    return narrow_row<bfloat16_from_float, 0x7f80>;
  return narrow_row<half_from_float, 0x7c00>;
}

int64_t elements_of(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

// Rows `begin` to `end` of a part, written to their places in the whole tensor.
struct PartWriter {
  const PlacedTensor::Part& part;
  const FloatFormat& format;
  int64_t tensor_rows;  // of the checkpoint's tensor
  std::byte* out;

  bool operator()(int64_t begin, int64_t end) const {
    const GgufPlace& place = *part.place;
    const WriteRow write = row_writer(format);
    std::vector<float> values(static_cast<size_t>(place.width));
    bool finite = true;
    for (int64_t row = begin; row < end; ++row) {
      dequantize_gguf_row(*part.tensor, part.slice->begin + row, values);
      for (float& value : values) value -= place.shift;
      const int64_t to = part.slice->order.checkpoint_row(row);
      const int64_t first = place.transposed ? to : to * place.width;
      finite &= write(values, out + first * format.bytes, place.transposed ? tensor_rows : 1);
    }
    return finite;
  }
};

// A vector is one row of the file, whose entries are rows of the checkpoint.
bool write_vector(const PlacedTensor::Part& part, const FloatFormat& format, std::byte* out) {
  std::vector<float> values(static_cast<size_t>(part.tensor->elements()));
  dequantize_gguf(*part.tensor, values);
  const WriteRow write = row_writer(format);
  bool finite = true;
  for (int64_t row = 0; row < part.slice->rows; ++row) {
    const float value = values[static_cast<size_t>(part.slice->begin + row)] - part.place->shift;
    const int64_t to = part.slice->order.checkpoint_row(row);
    finite &= write({&value, 1}, out + to * format.bytes, 1);
  }
  return finite;
}

void convert(const PlacedTensor& placed, const FloatFormat& format, const std::string& where,
             Buffer& buffer) {
  throw_if_stopped();
  buffer.resize(static_cast<size_t>(elements_of(placed.shape) * format.bytes));
  for (const PlacedTensor::Part& part : placed.parts) {
    const int64_t width = part.place->width;
    std::atomic<bool> finite = true;
    if (width == 1) {
      finite = write_vector(part, format, buffer.data());
    } else {
      const PartWriter write{part, format, elements_of(placed.shape) / width, buffer.data()};
      parallel_for(part.slice->rows, std::max<int64_t>(1, kGrainElements / width),
                   [&](int64_t begin, int64_t end) {
                     if (!write(begin, end)) finite = false;
                   });
    }
    if (!finite)
      throw Error({.what = cat("holds values that are not finite in ", format.name),
                   .where = where + ": tensor '" + printable(part.tensor->name) + "'",
                   .hint = "the file is damaged, or the dtype is too narrow for it"});
  }
}

// Number `index` of a stored tensor, or `out.size()` of them, each `step` from the last.
void widen(const StoredTensor& tensor, int64_t index, int64_t step, std::span<float> out) {
  const std::byte* in = tensor.bytes.data();
  if (tensor.dtype == "F32" && step == 1) {
    std::memcpy(out.data(), in + 4 * index, out.size_bytes());
    return;
  }
  if (tensor.dtype == "F32") {
    for (size_t i = 0; i < out.size(); ++i)
      std::memcpy(&out[i], in + 4 * (index + static_cast<int64_t>(i) * step), sizeof out[i]);
    return;
  }
  const bool half = tensor.dtype == "F16";
  for (size_t i = 0; i < out.size(); ++i) {
    uint16_t bits;
    std::memcpy(&bits, in + 2 * (index + static_cast<int64_t>(i) * step), sizeof bits);
    out[i] = half ? float_from_half(bits) : float_from_bfloat16(bits);
  }
}

// Row `row` of the file's tensor.
void read_row(const GgufTensorJob& job, int64_t row, std::span<float> out) {
  const GgufPlace& place = *job.place;
  const auto after =
      std::upper_bound(place.slices.begin(), place.slices.end(), row,
                       [](int64_t wanted, const GgufSlice& slice) { return wanted < slice.begin; });
  const auto index = static_cast<size_t>(after - place.slices.begin() - 1);
  const GgufSlice& slice = place.slices[index];
  const int64_t from = slice.order.checkpoint_row(row - slice.begin);
  if (place.transposed)
    widen(*job.stored[index], from, slice.hf_shape.back(), out);
  else
    widen(*job.stored[index], from * place.width, 1, out);
  for (float& value : out) value += place.shift;
}

// A row of the file; the entries of a vector are rows of the checkpoint.
void read_file_row(const GgufTensorJob& job, int64_t row, std::span<float> out) {
  if (job.place->width > 1) return read_row(job, row, out);
  const int64_t first = row * static_cast<int64_t>(out.size());
  for (size_t i = 0; i < out.size(); ++i)
    read_row(job, first + static_cast<int64_t>(i), out.subspan(i, 1));
}

void convert(const GgufTensorJob& job, Buffer& buffer) {
  const auto& shape = job.place->shape;
  const int64_t columns = shape.back(), rows = elements_of(shape) / columns;
  const int64_t row_bytes = gguf_row_bytes(job.type, columns);
  throw_if_stopped();
  buffer.resize(static_cast<size_t>(rows * row_bytes));
  std::atomic<bool> good = true;
  parallel_for(rows, std::max<int64_t>(1, kGrainElements / columns),
               [&](int64_t begin, int64_t end) {
                 std::vector<float> values(static_cast<size_t>(columns));
                 for (int64_t row = begin; row < end; ++row) {
                   read_file_row(job, row, values);
                   if (!quantize_gguf_row(job.type, values, buffer.data() + row * row_bytes))
                     good = false;
                 }
               });
  if (good) return;
  throw Error({.what = cat("holds values that are not finite in ", gguf_type_info(job.type).name),
               .where = job.where,
               .hint = "the weights are damaged, or the type is too narrow for them: try BF16"});
}

}  // namespace

const FloatFormat& float_format(const std::string& name) {
  const auto found = std::find_if(std::begin(kFormats), std::end(kFormats),
                                  [&](const FloatFormat& format) { return name == format.name; });
  if (found != std::end(kFormats)) return *found;
  throw UsageError("dtype must be float32, bfloat16 or float16, not '" + printable(name) + "'");
}

std::vector<TensorSource> tensors_from_gguf(const std::vector<PlacedTensor>& tensors,
                                            const FloatFormat& format, const std::string& where) {
  const auto buffer = std::make_shared<Buffer>();
  std::vector<TensorSource> sources;
  sources.reserve(tensors.size());
  for (const PlacedTensor& placed : tensors) {
    const auto make = [&placed, &format, buffer, where]() -> std::span<const std::byte> {
      convert(placed, format, where, *buffer);
      return *buffer;
    };
    sources.push_back({placed.name, format.safetensors, placed.shape, make});
  }
  return sources;
}

std::vector<GgufTensorSource> tensors_to_gguf(const std::vector<GgufTensorJob>& jobs) {
  const auto buffer = std::make_shared<Buffer>();
  std::vector<GgufTensorSource> sources;
  sources.reserve(jobs.size());
  for (const GgufTensorJob& job : jobs) {
    const auto make = [&job, buffer]() -> std::span<const std::byte> {
      convert(job, *buffer);
      return *buffer;
    };
    sources.push_back({job.place->gguf, job.type, job.place->shape, make});
  }
  return sources;
}

}  // namespace gradus
