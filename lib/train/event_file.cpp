// SPDX-License-Identifier: Apache-2.0
#include "train/event_file.h"

#include <array>
#include <bit>
#include <chrono>
#include <cstring>

namespace gradus {
namespace {

static_assert(std::endian::native == std::endian::little, "event files are little-endian");

template <class T>
std::string raw(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}

// Wire types of protocol buffers.
enum Wire : uint64_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

std::string key(uint64_t field, Wire wire) { return varint(field << 3 | wire); }
std::string bytes_field(uint64_t field, const std::string& value) {
  return key(field, kBytes) + varint(value.size()) + value;
}

std::string event_time() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return key(1, kFixed64) + raw(std::chrono::duration<double>(now).count());
}

std::string masked_crc(std::string_view bytes) {
  const uint32_t crc = crc32c(bytes);
  return raw(static_cast<uint32_t>((crc >> 15 | crc << 17) + 0xa282ead8u));
}

std::array<uint32_t, 256> crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? 0x82f63b78u : 0u);
    table[i] = value;
  }
  return table;
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  static const std::array<uint32_t, 256> table = crc_table();
  uint32_t crc = ~0u;
  for (const char byte : bytes) crc = crc >> 8 ^ table[(crc ^ static_cast<uint8_t>(byte)) & 0xff];
  return ~crc;
}

EventFile::EventFile(const fs::path& path, int64_t keep_bytes) : file_(path, keep_bytes) {
  if (keep_bytes == 0) write_record(event_time() + bytes_field(3, "brain.Event:2"));
}

void EventFile::add(int64_t step, const Scalars& scalars) {
  std::string summary;
  for (const auto& [tag, value] : scalars) {
    const std::string simple = key(2, kFixed32) + raw(static_cast<float>(value));
    summary += bytes_field(1, bytes_field(1, tag) + simple);
  }
  write_record(event_time() + key(2, kVarint) + varint(static_cast<uint64_t>(step)) +
               bytes_field(5, summary));
}

void EventFile::write_record(const std::string& event) {
  const std::string length = raw(static_cast<uint64_t>(event.size()));
  file_.append(length + masked_crc(length) + event + masked_crc(event));
}

}  // namespace gradus
