// SPDX-License-Identifier: Apache-2.0
#include <iterator>
#include <limits>
#include <unordered_set>

#include "model/formats/gguf_cursor.h"

namespace gradus {
namespace {

constexpr uint64_t kMaxKeyLength = 65'535;          // the format's own limit
constexpr uint64_t kMaxArrayElements = 10'000'000;  // the largest vocabularies have about a million

// clang-format off
enum class ValueType : uint32_t {
  kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kString, kArray, kU64, kI64, kF64
};
// clang-format on

// The least bytes that one value takes in the file.
constexpr uint64_t kLeastBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8};

Json read_bool(GgufCursor& cursor) {
  const auto byte = cursor.read<uint8_t>();
  if (byte > 1) cursor.fail("a truth value must be 0 or 1", {}, cat(int{byte}));
  return byte == 1;
}

Json read_scalar(GgufCursor& cursor, ValueType type) {
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

ValueType read_type(GgufCursor& cursor) {
  const auto type = cursor.read<uint32_t>();
  if (type >= std::size(kLeastBytes)) cursor.fail("unknown value type", "0 to 12", cat(type));
  return static_cast<ValueType>(type);
}

Json read_value(GgufCursor& cursor, uint64_t& elements_left) {
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

}  // namespace

Json read_gguf_metadata(GgufCursor& cursor, uint64_t count) {
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

}  // namespace gradus
