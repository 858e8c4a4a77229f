// SPDX-License-Identifier: Apache-2.0
#include "model/copy_weights.h"

#include <ATen/ops/empty.h>

#include <bit>
#include <cstring>

#include "base/error.h"
#include "base/float16.h"
#include "base/parallel.h"
#include "model/folder.h"
#include "tensor/device.h"

namespace gradus {
namespace {

constexpr size_t kPieceBytes = 1 << 19;  // stays in the cache between reading and checking

// Converts `count` numbers; returns whether all results are finite.
using Convert = bool (*)(const std::byte* in, size_t count, std::byte* out);

template <class Bits, Bits kExponent>
bool all_finite(const std::byte* in, size_t count) {
  const auto* bits = reinterpret_cast<const Bits*>(in);
  unsigned bad = 0;
  for (size_t i = 0; i < count; ++i) bad |= (bits[i] & kExponent) == kExponent ? 1u : 0u;
  return bad == 0;
}

constexpr auto kFiniteFloat = all_finite<uint32_t, 0x7f800000>;
constexpr auto kFiniteBfloat = all_finite<uint16_t, 0x7f80>;

// As float_from_half without branches: the exponent's offset is a factor, which is exact.
uint32_t wide_from_half(uint16_t half) {
  const float scaled = std::bit_cast<float>((half & 0x7fffu) << 13) * 0x1p112f;
  const uint32_t special = (half & 0x7c00u) == 0x7c00u ? 0x7f800000u : 0u;
  return std::bit_cast<uint32_t>(scaled) | special | (half & 0x8000u) << 16;
}

bool float_from_bfloats(const std::byte* in, size_t count, std::byte* out) {
  const auto* from = reinterpret_cast<const uint16_t*>(in);
  auto* to = reinterpret_cast<uint32_t*>(out);
  for (size_t i = 0; i < count; ++i) to[i] = uint32_t{from[i]} << 16;
  return kFiniteFloat(out, count);
}

bool float_from_halves(const std::byte* in, size_t count, std::byte* out) {
  const auto* from = reinterpret_cast<const uint16_t*>(in);
  auto* to = reinterpret_cast<uint32_t*>(out);
  for (size_t i = 0; i < count; ++i) to[i] = wide_from_half(from[i]);
  return kFiniteFloat(out, count);
}

bool bfloat_from_floats(const std::byte* in, size_t count, std::byte* out) {
  const auto* from = reinterpret_cast<const float*>(in);
  auto* to = reinterpret_cast<uint16_t*>(out);
  for (size_t i = 0; i < count; ++i) to[i] = bfloat16_from_float(from[i]);
  return kFiniteBfloat(out, count);
}

bool bfloat_from_halves(const std::byte* in, size_t count, std::byte* out) {
  const auto* from = reinterpret_cast<const uint16_t*>(in);
  auto* to = reinterpret_cast<uint16_t*>(out);
  for (size_t i = 0; i < count; ++i)
    to[i] = bfloat16_from_float(std::bit_cast<float>(wide_from_half(from[i])));
  return kFiniteBfloat(out, count);
}

struct Conversion {
  const char* from;
  c10::ScalarType to;
  Convert convert;  // null: the bytes are taken as they are
  bool (*finite)(const std::byte* out, size_t count);
};

constexpr Conversion kConversions[] = {
    {"F32", at::kFloat, nullptr, kFiniteFloat},
    {"BF16", at::kBFloat16, nullptr, kFiniteBfloat},
    {"BF16", at::kFloat, float_from_bfloats, nullptr},
    {"F16", at::kFloat, float_from_halves, nullptr},
    {"F32", at::kBFloat16, bfloat_from_floats, nullptr},
    {"F16", at::kBFloat16, bfloat_from_halves, nullptr},
};

const Conversion* conversion_of(const WeightCopy& copy) {
  if (!copy.target.is_cpu() || !copy.target.is_contiguous()) return nullptr;
  for (const Conversion& entry : kConversions) {
    if (copy.stored->dtype == entry.from && copy.target.scalar_type() == entry.to) return &entry;
  }
  return nullptr;
}

[[noreturn]] void not_finite(const std::string& place) {
  throw Error({.what = "weights contain NaN or infinity",
               .where = place,
               .hint = "the file is damaged, or its training diverged"});
}

struct Piece {
  const WeightCopy* copy;
  const Conversion* conversion;
  size_t first, count;  // numbers
};

void run_piece(const Piece& piece, std::vector<std::byte>& scratch) {
  const StoredTensor& stored = *piece.copy->stored;
  const size_t in_bytes =
      piece.conversion->from[0] == 'F' && piece.conversion->from[1] == '3' ? 4 : 2;
  auto* out = static_cast<std::byte*>(piece.copy->target.mutable_data_ptr()) +
              piece.first * piece.copy->target.element_size();
  const size_t bytes = piece.count * in_bytes;
  bool good = false;
  if (!piece.conversion->convert) {
    stored.read(piece.first * in_bytes, {out, bytes});
    good = piece.conversion->finite(out, piece.count);
  } else {
    scratch.resize(kPieceBytes);
    stored.read(piece.first * in_bytes, std::span(scratch).first(bytes));
    good = piece.conversion->convert(scratch.data(), piece.count, out);
  }
  if (!good) not_finite(piece.copy->place);
}

void copy_whole(const WeightCopy& copy) {
  at::Tensor target = copy.target;
  target.copy_(view_of(*copy.stored, copy.place));
  check_finite(target, copy.place);
}

}  // namespace

void copy_weights(const std::vector<WeightCopy>& copies) {
  std::vector<Piece> pieces;
  for (const WeightCopy& copy : copies) {
    const Conversion* conversion = conversion_of(copy);
    if (!conversion) {
      copy_whole(copy);
      continue;
    }
    const auto total = static_cast<size_t>(copy.target.numel());
    constexpr size_t kPieceNumbers = kPieceBytes / 4;
    for (size_t first = 0; first < total; first += kPieceNumbers)
      pieces.push_back({&copy, conversion, first, std::min(kPieceNumbers, total - first)});
  }
  parallel_for(static_cast<int64_t>(pieces.size()), 1, [&](int64_t begin, int64_t end) {
    std::vector<std::byte> scratch;
    for (int64_t i = begin; i < end; ++i) run_piece(pieces[static_cast<size_t>(i)], scratch);
  });
}

at::Tensor read_stored(const StoredTensor& stored, const std::string& place) {
  at::Tensor out = at::empty(stored.shape, dtype_from_safetensors(stored.dtype, place));
  stored.read(0, {static_cast<std::byte*>(out.mutable_data_ptr()), out.nbytes()});
  return out;
}

}  // namespace gradus
