// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/sentencepiece_check.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <unordered_set>
#include <utility>

#include "base/error.h"
#include "text/tokenizer/decoder.h"
#include "text/unicode.h"

namespace gradus {
namespace {

constexpr size_t kMaxPieces = 1 << 22, kMaxPieceBytes = 1 << 14;

struct Field {
  uint64_t number = 0;
  uint32_t wire = 0;   // 0 varint, 1 eight bytes, 2 bytes, 5 four bytes
  uint64_t value = 0;  // of a varint or fixed field
  std::string_view bytes = {};
};

class ProtoReader {
 public:
  ProtoReader(std::string_view data, const std::string& where) : data_(data), where_(where) {}

  [[noreturn]] void refuse(const std::string& why) const {
    throw Error({.what = "is not a usable SentencePiece model: " + why, .where = where_});
  }

  bool next(Field& field) {
    if (at_ == data_.size()) return false;
    const uint64_t key = varint();
    field = {.number = key >> 3, .wire = static_cast<uint32_t>(key & 7)};
    if (field.wire == 0)
      field.value = varint();
    else if (field.wire == 1)
      field.value = fixed(8);
    else if (field.wire == 5)
      field.value = fixed(4);
    else if (field.wire == 2)
      field.bytes = take(varint());
    else
      refuse("it has a field of an unknown kind");
    if (field.number == 0) refuse("it has a field 0");
    return true;
  }

 private:
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    refuse("it has a number of more than 64 bits");
  }
  uint64_t fixed(size_t bytes) {
    uint64_t value = 0;
    std::memcpy(&value, take(bytes).data(), bytes);
    return value;
  }
  std::string_view take(uint64_t bytes) {
    if (bytes > data_.size() - at_) refuse("it is cut off");
    at_ += bytes;
    return data_.substr(at_ - bytes, bytes);
  }

  std::string_view data_;
  const std::string& where_;
  size_t at_ = 0;
};

class Checker {
 public:
  Checker(std::string_view model, const std::string& where) : model_(model), where_(where) {}

  SentencePieceModel run() {
    ProtoReader reader(model_, where_);
    Field field;
    while (reader.next(field)) {
      if (field.wire != 2) continue;
      if (field.number == 1) read_piece(field.bytes);
      if (field.number == 2) read_trainer(field.bytes);
      if (field.number == 3) read_normalizer(field.bytes);
      if (field.number == 5) check_maps(field.bytes);
    }
    if (unknowns_ != 1) reader.refuse("it must have exactly one unknown piece");
    return std::move(out_);
  }

 private:
  void read_piece(std::string_view message) {
    ProtoReader reader(message, where_);
    Field field;
    std::string_view text;
    uint64_t type = kNormalPiece;
    float score = 0;
    while (reader.next(field)) {
      if (field.number == 1 && field.wire == 2) text = field.bytes;
      if (field.number == 3 && field.wire == 0) type = field.value;
      if (field.number == 2 && field.wire == 5)
        score = std::bit_cast<float>(static_cast<uint32_t>(field.value));
    }
    if (!std::isfinite(score)) reader.refuse("a score is not finite");
    const std::string name = cat("piece ", pieces_.size(), " ");
    if (text.empty() || text.size() > kMaxPieceBytes) reader.refuse(name + "is empty or too long");
    if (text.find('\0') != std::string_view::npos || find_invalid_utf8(text))
      reader.refuse(name + "has a NUL or is not UTF-8");
    if (type < kNormalPiece || type > kBytePiece) reader.refuse(name + "has an unknown type");
    if (type == kBytePiece && byte_token(text) < 0) reader.refuse(name + "is no byte");
    if (!pieces_.insert(text).second) reader.refuse(name + "is there twice");
    if (pieces_.size() > kMaxPieces) reader.refuse("it has too many pieces");
    unknowns_ += type == kUnknownPiece;
    out_.pieces.push_back({std::string(text), score, static_cast<PieceType>(type)});
  }

  void read_trainer(std::string_view message) {
    ProtoReader reader(message, where_);
    Field field;
    while (reader.next(field)) {
      if (field.wire != 0) continue;
      const auto id = static_cast<int64_t>(field.value);
      if (field.number == 3) {
        if (field.value < 1 || field.value > 4) reader.refuse("its model type is unknown");
        out_.bpe = field.value == 2;
      }
      if (field.number == 40) out_.unk = id;
      if (field.number == 41) out_.bos = id;
      if (field.number == 42) out_.eos = id;
      if (field.number == 43) out_.pad = id;
    }
  }

  void read_normalizer(std::string_view message) {
    check_maps(message);
    ProtoReader reader(message, where_);
    Field field;
    while (reader.next(field)) {
      if (field.number == 2 && field.wire == 2) out_.replaces_text = !field.bytes.empty();
      if (field.number == 3 && field.wire == 0) out_.space_prefix = field.value != 0;
      if (field.number == 4 && field.wire == 0) out_.removes_spaces = field.value != 0;
    }
  }

  void check_maps(std::string_view message) const {
    ProtoReader reader(message, where_);
    Field field;
    while (reader.next(field)) {
      if (field.number == 2 && field.wire == 2 && !field.bytes.empty())
        check_character_map(field.bytes, reader);
    }
  }

  // uint32 size, a double-array trie of that many bytes, then NUL-terminated replacements. From
  // unit i the trie goes to i ^ offset ^ byte, and a value is a position among the replacements.
  void check_character_map(std::string_view map, const ProtoReader& reader) const {
    uint32_t trie_bytes = 0;
    if (map.size() > sizeof trie_bytes) std::memcpy(&trie_bytes, map.data(), sizeof trie_bytes);
    const std::string_view rest = map.substr(std::min(map.size(), sizeof trie_bytes));
    if (trie_bytes < 1024 || trie_bytes % 1024 != 0 || trie_bytes >= rest.size())
      reader.refuse("its character map has a wrong size");
    const std::string_view texts = rest.substr(trie_bytes);
    if (texts.back() != '\0' || find_invalid_utf8(texts))
      reader.refuse("its character map has bad text");
    const uint32_t units = trie_bytes / 4;
    for (uint32_t i = 0; i < units; ++i) {
      uint32_t unit = 0;
      std::memcpy(&unit, rest.data() + i * 4, sizeof unit);
      const uint32_t offset = (unit >> 10) << ((unit & (1u << 9)) >> 6);
      const bool value = (unit >> 31) != 0;
      const uint32_t position = unit & 0x7FFFFFFFu;
      if (value ? position >= texts.size() : ((i ^ offset) | 0xFFu) >= units)
        reader.refuse("its character map points outside of itself");
    }
  }

  std::string_view model_;
  const std::string& where_;
  SentencePieceModel out_;
  std::unordered_set<std::string_view> pieces_;
  int unknowns_ = 0;
};

}  // namespace

SentencePieceModel read_sentencepiece_model(std::string_view model, const std::string& where) {
  return Checker(model, where).run();
}

}  // namespace gradus
