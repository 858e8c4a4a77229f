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

constexpr uint64_t kMaxDimensions = 4;      // GGML_MAX_DIMS
constexpr uint64_t kMaxTensorName = 63;     // GGML_MAX_NAME with its NUL
constexpr uint64_t kMaxKeyLength = 65'535;  // the format's own limit
constexpr uint64_t kMaxArrayElements =
    10'000'000;  // over all keys; the largest vocabularies have 1 M
constexpr uint64_t kMaxAlignment = 1 << 20;

enum class ValueType : uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64
};

// The least bytes that one value takes in the file.
constexpr uint64_t kLeastBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8};

// A position in the image; each read is checked against what is left.
class Cursor {
 public:
  Cursor(std::span<const std::byte> image, const std::string& where)
      : image_(image), where_(where) {}

  size_t position() const { return position_; }
  size_t left() const { return image_.size() - position_; }
  // What is being read, for errors.
  void enter(std::string part) { part_ = std::move(part); }
  std::string place() const { return part_.empty() ? where_ : where_ + ": " + part_; }

  [[noreturn]] void fail(std::string what, std::string expected = {},
                         std::string found = {}) const {
    throw Error({.what = std::move(what),
                 .where = place(),
                 .expected = std::move(expected),
                 .found = std::move(found)});
  }

  std::span<const std::byte> take(uint64_t bytes) {
    if (bytes > left())
      fail("the file is truncated or corrupt", cat(bytes, " more bytes"), cat(left()));
    const auto taken = image_.subspan(position_, bytes);
    position_ += bytes;
    return taken;
  }

  template <class T>
  T read() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }

  // A count of things that take at least `least_bytes` each.
  uint64_t count(const char* of, uint64_t least_bytes, uint64_t most) {
    const auto number = read<uint64_t>();
    const uint64_t bound = std::min<uint64_t>(most, left() / least_bytes);
    if (number > bound) fail(cat("impossible number of ", of), cat("at most ", bound), cat(number));
    return number;
  }

  std::string_view text(const char* of, uint64_t most) {
    const uint64_t length = count(of, 1, most);
    const auto bytes = take(length);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

 private:
  std::span<const std::byte> image_;
  const std::string& where_;
  std::string part_;
  size_t position_ = 0;
};

Json read_bool(Cursor& cursor) {
  const auto byte = cursor.read<uint8_t>();
  if (byte > 1) cursor.fail("a truth value must be 0 or 1", {}, cat(int{byte}));
  return byte == 1;
}

Json read_scalar(Cursor& cursor, ValueType type) {
  switch (type) {
    case ValueType::kU8:
      return cursor.read<uint8_t>();
    case ValueType::kI8:
      return cursor.read<int8_t>();
    case ValueType::kU16:
      return cursor.read<uint16_t>();
    case ValueType::kI16:
      return cursor.read<int16_t>();
    case ValueType::kU32:
      return cursor.read<uint32_t>();
    case ValueType::kI32:
      return cursor.read<int32_t>();
    case ValueType::kU64:
      return cursor.read<uint64_t>();
    case ValueType::kI64:
      return cursor.read<int64_t>();
    case ValueType::kF32:
      return static_cast<double>(cursor.read<float>());
    case ValueType::kF64:
      return cursor.read<double>();
    case ValueType::kBool:
      return read_bool(cursor);
    case ValueType::kString:
      return std::string(cursor.text("bytes in a string", std::numeric_limits<uint64_t>::max()));
    case ValueType::kArray:
      break;
  }
  cursor.fail("an array inside an array is not supported");
}

ValueType read_type(Cursor& cursor) {
  const auto type = cursor.read<uint32_t>();
  if (type >= std::size(kLeastBytes)) cursor.fail("unknown value type", "0 to 12", cat(type));
  return static_cast<ValueType>(type);
}

Json read_value(Cursor& cursor, uint64_t& elements_left) {
  const ValueType type = read_type(cursor);
  if (type != ValueType::kArray) return read_scalar(cursor, type);
  const ValueType item = read_type(cursor);
  const uint64_t count =
      cursor.count("array elements", kLeastBytes[static_cast<size_t>(item)], elements_left);
  elements_left -= count;
  Json::array_t array;
  array.reserve(count);
  for (uint64_t i = 0; i < count; ++i) array.push_back(read_scalar(cursor, item));
  return array;
}

Json read_metadata(Cursor& cursor, uint64_t count) {
  // ordered_json looks each key up in a list; a set keeps files with many keys linear.
  Json::object_t metadata;
  std::unordered_set<std::string_view> keys;
  uint64_t elements_left = kMaxArrayElements;
  for (uint64_t i = 0; i < count; ++i) {
    cursor.enter(cat("metadata key ", i));
    const std::string_view key = cursor.text("bytes in a key", kMaxKeyLength);
    if (key.empty()) cursor.fail("the key is empty");
    cursor.enter("key '" + printable(key) + "'");
    if (!keys.insert(key).second) cursor.fail("duplicate key");
    Json value = read_value(cursor, elements_left);
    metadata.emplace_back(std::string(key), std::move(value));
  }
  cursor.enter({});
  return metadata;
}

uint64_t alignment_of(const Json& metadata, const Cursor& cursor) {
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

const GgufTypeInfo& read_tensor_type(Cursor& cursor) {
  const auto number = cursor.read<uint32_t>();
  for (const GgufTypeInfo& info : kTypes) {
    if (static_cast<uint32_t>(info.type) == number) return info;
  }
  cursor.fail("tensor type is not supported",
              "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1 or Q2_K to Q6_K",
              cat("ggml type ", number));
}

std::vector<int64_t> read_shape(Cursor& cursor) {
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

uint64_t data_bytes(const Cursor& cursor, const GgufTensor& tensor, const GgufTypeInfo& info) {
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

Placed read_tensor_entry(Cursor& cursor, uint64_t alignment) {
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

std::vector<Placed> read_tensor_table(Cursor& cursor, uint64_t count, uint64_t alignment) {
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

void check_magic(Cursor& cursor) {
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
  Cursor cursor(image, where);
  check_magic(cursor);
  constexpr uint64_t kLeastTensorEntry = 8 + 1 + 4 + 4 + 8;
  constexpr uint64_t kLeastKeyValue = 8 + 1 + 4 + 1;
  const uint64_t no_limit = std::numeric_limits<uint64_t>::max();
  const uint64_t tensor_count = cursor.count("tensors", kLeastTensorEntry, no_limit);
  const uint64_t key_count = cursor.count("metadata keys", kLeastKeyValue, no_limit);

  GgufImage result;
  result.metadata = read_metadata(cursor, key_count);
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
