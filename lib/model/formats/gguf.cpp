// SPDX-License-Identifier: Apache-2.0
#include "model/formats/gguf.h"

#include <algorithm>
#include <bit>
#include <cstdio>
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
    {GgufType::kF32, "F32", 1, 4},           {GgufType::kF16, "F16", 1, 2},
    {GgufType::kBF16, "BF16", 1, 2},         {GgufType::kQ8_0, "Q8_0", 32, 34},
    {GgufType::kQ4_0, "Q4_0", 32, 18},       {GgufType::kQ4_1, "Q4_1", 32, 20},
    {GgufType::kQ5_0, "Q5_0", 32, 22},       {GgufType::kQ5_1, "Q5_1", 32, 24},
    {GgufType::kQ2_K, "Q2_K", 256, 84},      {GgufType::kQ3_K, "Q3_K", 256, 110},
    {GgufType::kQ4_K, "Q4_K", 256, 144},     {GgufType::kQ5_K, "Q5_K", 256, 176},
    {GgufType::kQ6_K, "Q6_K", 256, 210},     {GgufType::kIQ4_NL, "IQ4_NL", 32, 18},
    {GgufType::kIQ4_XS, "IQ4_XS", 256, 136},
};

// Types that are known but not read, by number: named in the message. Some are of numbers on their
// way through a computation, or of counts, and never of weights.
struct OtherType {
  uint32_t number;
  const char* name;
  bool weights = true;
};
constexpr OtherType kOtherTypes[] = {
    {9, "Q8_1", false}, {15, "Q8_K", false}, {16, "IQ2_XXS"},    {17, "IQ2_XS"},
    {18, "IQ3_XXS"},    {19, "IQ1_S"},       {21, "IQ3_S"},      {22, "IQ2_S"},
    {24, "I8", false},  {25, "I16", false},  {26, "I32", false}, {27, "I64", false},
    {28, "F64", false}, {29, "IQ1_M"},       {34, "TQ1_0"},      {35, "TQ2_0"},
    {39, "MXFP4"},      {40, "NVFP4"},
};

std::string type_name(uint32_t number) {
  for (const OtherType& other : kOtherTypes) {
    if (other.number == number)
      return cat(other.name, other.weights ? "" : ", which is no type of weights");
  }
  return cat("ggml type ", number);
}

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
  std::string known;
  for (const GgufTypeInfo& info : kTypes)
    known += (known.empty() ? "" : ", ") + std::string(info.name);
  cursor.fail("tensor type is not supported", known, type_name(number));
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

// Every range lies in the data and no two of them share a byte. `begin` is where the data starts.
void check_ranges(const std::vector<Placed>& table, uint64_t begin, uint64_t file_bytes,
                  const std::string& where) {
  const uint64_t available = file_bytes - std::min(begin, file_bytes);
  std::vector<const Placed*> order;
  for (const Placed& placed : table) order.push_back(&placed);
  std::sort(order.begin(), order.end(),
            [](const Placed* a, const Placed* b) { return a->begin < b->begin; });
  uint64_t end = 0;
  for (const Placed* placed : order) {
    const std::string place = where + ": tensor '" + printable(placed->tensor.name) + "'";
    uint64_t needed = 0;
    if (__builtin_add_overflow(placed->begin, placed->bytes, &needed) ||
        __builtin_add_overflow(needed, begin, &needed))
      throw Error({.what = "the data offset is too large",
                   .where = place,
                   .found = cat(placed->bytes, " bytes at ", placed->begin)});
    if (needed - begin > available) {
      throw Error(
          {.what = "the file is truncated or corrupt: this tensor's data lies beyond its end",
           .where = place,
           .expected = cat("a file of at least ", needed, " bytes"),
           .found = cat(file_bytes)});
    }
    if (placed->begin < end)
      throw Error({.what = "the data overlaps another tensor's", .where = place});
    end = placed->begin + placed->bytes;
  }
}

void check_magic(GgufCursor& cursor) {
  const auto magic = cursor.take(4);
  if (std::memcmp(magic.data(), "PK\3\4", 4) == 0)
    cursor.fail("is a ZIP archive or a PyTorch pickle, which can run code and is not read",
                "a GGUF file");
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

std::span<const GgufTypeInfo> gguf_types() { return kTypes; }

std::vector<std::string> gguf_types_not_read() {
  std::vector<std::string> names;
  for (const OtherType& other : kOtherTypes) {
    if (other.weights) names.emplace_back(other.name);
  }
  return names;
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
  check_ranges(table, data_begin, image.size(), where);
  for (Placed& placed : table) {
    placed.tensor.bytes = image.subspan(data_begin + placed.begin, placed.bytes);
    result.tensors.push_back(std::move(placed.tensor));
  }
  return result;
}

namespace {

constexpr int64_t kMaxParts = 99'999;  // five digits in the name

// "NAME-00001-of-00003.gguf"
std::string part_suffix(int64_t number, int64_t count) {
  char text[32];
  std::snprintf(text, sizeof text, "-%05d-of-%05d.gguf", static_cast<int>(number + 1),
                static_cast<int>(count));
  return text;
}

int64_t split_key(const Json& metadata, const char* key, const std::string& where) {
  return json_get<int64_t>(metadata, key, int64_t{0}, where);
}

}  // namespace

GgufFile::GgufFile(const fs::path& path) {
  files_.push_back(std::make_unique<MappedFile>(path));
  image_ = parse_gguf(files_[0]->bytes(), path.string());
  const int64_t count = split_key(image_.metadata, "split.count", path.string());
  if (count > 1) open_parts(count);
}

void GgufFile::open_parts(int64_t count) {
  const std::string where = path().string();
  const std::string suffix = part_suffix(0, std::min(count, kMaxParts));
  const int64_t number = split_key(image_.metadata, "split.no", where);
  if (count > kMaxParts || number != 0 || !where.ends_with(suffix)) {
    throw Error({.what = cat("is a part of a file split into ", count),
                 .where = where,
                 .expected = "the first part, NAME" + suffix});
  }
  const std::string stem = where.substr(0, where.size() - suffix.size());
  for (int64_t i = 1; i < count; ++i) add_part(stem + part_suffix(i, count), i, count);
  std::unordered_set<std::string_view> names;
  for (const GgufTensor& tensor : tensors()) {
    if (!names.insert(tensor.name).second)
      throw Error(
          {.what = "tensor '" + printable(tensor.name) + "' is in two parts", .where = where});
  }
  const int64_t expected = split_key(metadata(), "split.tensors.count", where);
  if (expected == static_cast<int64_t>(tensors().size())) return;
  throw Error({.what = "the parts together do not hold as many tensors as the first one says",
               .where = where,
               .expected = cat(expected),
               .found = cat(tensors().size())});
}

void GgufFile::add_part(const fs::path& path, int64_t number, int64_t count) {
  if (!fs::exists(path))
    throw Error(
        {.what = cat("part ", number + 1, " of ", count, " is missing"), .where = path.string()});
  files_.push_back(std::make_unique<MappedFile>(path));
  GgufImage part = parse_gguf(files_.back()->bytes(), path.string());
  const int64_t found = split_key(part.metadata, "split.no", path.string());
  const int64_t found_count = split_key(part.metadata, "split.count", path.string());
  if (found != number || found_count != count) {
    throw Error({.what = "is another part than its name says",
                 .where = path.string(),
                 .expected = cat("split.no ", number, " of ", count),
                 .found = cat(found, " of ", found_count)});
  }
  for (GgufTensor& tensor : part.tensors) image_.tensors.push_back(std::move(tensor));
}

std::vector<fs::path> GgufFile::paths() const {
  std::vector<fs::path> paths;
  for (const auto& file : files_) paths.push_back(file->path());
  return paths;
}

const GgufTensor* GgufFile::find(const std::string& name) const {
  const auto found = std::find_if(tensors().begin(), tensors().end(),
                                  [&](const GgufTensor& tensor) { return tensor.name == name; });
  return found == tensors().end() ? nullptr : &*found;
}

}  // namespace gradus
