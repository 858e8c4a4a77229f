// SPDX-License-Identifier: Apache-2.0
#include "model/formats/gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>
#include <limits>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "base/error.h"
#include "model/formats/gguf_cursor.h"

namespace gradus {
namespace {

static_assert(std::endian::native == std::endian::little, "tensor data is used in place");

constexpr GgufTypeInfo kTypes[] = {
    {GgufType::kF32, "F32", 1, 4},       {GgufType::kF16, "F16", 1, 2},
    {GgufType::kQ4_0, "Q4_0", 32, 18},   {GgufType::kQ4_1, "Q4_1", 32, 20},
    {GgufType::kQ5_0, "Q5_0", 32, 22},   {GgufType::kQ5_1, "Q5_1", 32, 24},
    {GgufType::kQ8_0, "Q8_0", 32, 34},   {GgufType::kQ2_K, "Q2_K", 256, 84},
    {GgufType::kQ3_K, "Q3_K", 256, 110}, {GgufType::kQ4_K, "Q4_K", 256, 144},
    {GgufType::kQ5_K, "Q5_K", 256, 176}, {GgufType::kQ6_K, "Q6_K", 256, 210},
    {GgufType::kBF16, "BF16", 1, 2},
};

constexpr uint64_t kMaxDimensions = 4;   // GGML_MAX_DIMS
constexpr uint64_t kMaxTensorName = 63;  // GGML_MAX_NAME with its NUL
constexpr uint64_t kMaxAlignment = 1 << 20;

uint64_t alignment_of(const Json& metadata, const GgufCursor& cursor) {
  if (!metadata.contains("general.alignment")) return 32;
  const Json& value = metadata["general.alignment"];
  const uint64_t alignment = value.is_number_unsigned() ? value.get<uint64_t>() : 0;
  if (!std::has_single_bit(alignment) || alignment < 8 || alignment > kMaxAlignment) {
    cursor.fail("general.alignment is not usable", cat("a power of two from 8 to ", kMaxAlignment),
                printable(value.is_number() ? value.dump() : value.type_name()));
  }
  return alignment;
}

// A tensor and where its data lies, relative to the start of the data.
struct Placed {
  GgufTensor tensor;
  uint64_t begin = 0, bytes = 0;
};

const GgufTypeInfo& read_tensor_type(GgufCursor& cursor) {
  const auto number = cursor.read<uint32_t>();
  for (const GgufTypeInfo& info : kTypes) {
    if (static_cast<uint32_t>(info.type) == number) return info;
  }
  cursor.fail("tensor type is not supported",
              "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1 or Q2_K to Q6_K",
              cat("ggml type ", number));
}

std::vector<int64_t> read_shape(GgufCursor& cursor) {
  const auto rank = cursor.read<uint32_t>();
  if (rank > kMaxDimensions)
    cursor.fail("too many dimensions", cat("at most ", kMaxDimensions), cat(rank));
  std::vector<int64_t> shape(rank);
  int64_t elements = 1;
  for (auto size = shape.rbegin(); size != shape.rend(); ++size) {
    *size = cursor.read<int64_t>();
    if (*size < 1) cursor.fail("a dimension must be positive", {}, cat(*size));
    if (__builtin_mul_overflow(elements, *size, &elements)) cursor.fail("the shape is too large");
  }
  return shape;
}

uint64_t data_bytes(const GgufCursor& cursor, const GgufTensor& tensor, const GgufTypeInfo& info) {
  if (tensor.row_elements() % info.block_elements != 0) {
    cursor.fail(cat("a row is not a whole number of ", info.name, " blocks"),
                cat("a multiple of ", info.block_elements), cat(tensor.row_elements()));
  }
  int64_t bytes = 0;
  if (__builtin_mul_overflow(tensor.elements() / info.block_elements, info.block_bytes, &bytes)) {
    cursor.fail("the shape is too large");
  }
  return static_cast<uint64_t>(bytes);
}

Placed read_tensor_entry(GgufCursor& cursor, uint64_t alignment) {
  const std::string_view name = cursor.text("bytes in a tensor name", kMaxTensorName);
  if (name.empty()) cursor.fail("the tensor name is empty");
  cursor.enter("tensor '" + printable(name) + "'");
  Placed placed;
  placed.tensor.name = name;
  placed.tensor.shape = read_shape(cursor);
  const GgufTypeInfo& info = read_tensor_type(cursor);
  placed.tensor.type = info.type;
  placed.bytes = data_bytes(cursor, placed.tensor, info);
  placed.begin = cursor.read<uint64_t>();
  if (placed.begin % alignment != 0) {
    cursor.fail("the data offset is not aligned", cat("a multiple of ", alignment),
                cat(placed.begin));
  }
  return placed;
}

std::vector<Placed> read_tensor_table(GgufCursor& cursor, uint64_t count, uint64_t alignment) {
  std::vector<Placed> table;
  table.reserve(count);
  std::unordered_set<std::string> names;
  for (uint64_t i = 0; i < count; ++i) {
    cursor.enter(cat("tensor ", i));
    table.push_back(read_tensor_entry(cursor, alignment));
    if (!names.insert(table.back().tensor.name).second) cursor.fail("duplicate tensor name");
  }
  cursor.enter({});
  return table;
}

// Every range lies in the data and no two of them share a byte.
void check_ranges(const std::vector<Placed>& table, uint64_t available, const std::string& where) {
  std::vector<const Placed*> order;
  for (const Placed& placed : table) order.push_back(&placed);
  std::sort(order.begin(), order.end(),
            [](const Placed* a, const Placed* b) { return a->begin < b->begin; });
  uint64_t end = 0;
  for (const Placed* placed : order) {
    const std::string place = where + ": tensor '" + printable(placed->tensor.name) + "'";
    if (placed->begin > available || placed->bytes > available - placed->begin) {
      throw Error({.what = "the data lies outside the file (truncated or corrupt)",
                   .where = place,
                   .expected = cat("within ", available, " bytes"),
                   .found = cat(placed->bytes, " bytes at ", placed->begin)});
    }
    if (placed->begin < end)
      throw Error({.what = "the data overlaps another tensor's", .where = place});
    end = placed->begin + placed->bytes;
  }
}

void check_magic(GgufCursor& cursor) {
  const auto magic = cursor.take(4);
  if (std::memcmp(magic.data(), "GGUF", 4) != 0) cursor.fail("is not a GGUF file", "magic 'GGUF'");
  const auto version = cursor.read<uint32_t>();
  if (version == 2 || version == 3) return;
  const bool swapped = (version & 0xffff) == 0 && version != 0;
  cursor.fail(swapped ? "big-endian GGUF files are not supported" : "GGUF version is not supported",
              "version 2 or 3", swapped ? "" : cat(version));
}

}  // namespace

const GgufTypeInfo& gguf_type_info(GgufType type) {
  return *std::find_if(std::begin(kTypes), std::end(kTypes),
                       [type](const GgufTypeInfo& info) { return info.type == type; });
}

int64_t GgufTensor::elements() const {
  int64_t product = 1;
  for (const int64_t size : shape) product *= size;  // parse_gguf checked that it fits
  return product;
}

GgufImage parse_gguf(std::span<const std::byte> image, const std::string& where) {
  GgufCursor cursor(image, where);
  check_magic(cursor);
  constexpr uint64_t kLeastTensorEntry = 8 + 1 + 4 + 4 + 8;
  constexpr uint64_t kLeastKeyValue = 8 + 1 + 4 + 1;
  const uint64_t no_limit = std::numeric_limits<uint64_t>::max();
  const uint64_t tensor_count = cursor.count("tensors", kLeastTensorEntry, no_limit);
  const uint64_t key_count = cursor.count("metadata keys", kLeastKeyValue, no_limit);

  GgufImage result;
  result.metadata = read_gguf_metadata(cursor, key_count);
  const uint64_t alignment = alignment_of(result.metadata, cursor);
  std::vector<Placed> table = read_tensor_table(cursor, tensor_count, alignment);
  const uint64_t data_begin = (cursor.position() + alignment - 1) / alignment * alignment;
  const uint64_t available = image.size() - std::min<uint64_t>(data_begin, image.size());
  check_ranges(table, available, where);
  for (Placed& placed : table) {
    placed.tensor.bytes = image.subspan(data_begin + placed.begin, placed.bytes);
    result.tensors.push_back(std::move(placed.tensor));
  }
  return result;
}

GgufFile::GgufFile(const fs::path& path)
    : file_(path), image_(parse_gguf(file_.bytes(), path.string())) {}

const GgufTensor* GgufFile::find(const std::string& name) const {
  const auto found = std::find_if(tensors().begin(), tensors().end(),
                                  [&](const GgufTensor& tensor) { return tensor.name == name; });
  return found == tensors().end() ? nullptr : &*found;
}

}  // namespace gradus
