// SPDX-License-Identifier: Apache-2.0
#include "data/token_store.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <stdexcept>

#include "base/error.h"
#include "base/hash.h"
#include "base/parallel.h"

namespace gradus {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr char kMagic[8] = {'G', 'R', 'A', 'D', 'T', 'O', 'K', 'S'};
constexpr uint32_t kVersion = 1;
constexpr size_t kBlockBytes = 1 << 20;
constexpr int kLineBits = 40;

uint64_t padded(uint64_t bytes) { return (bytes + 7) / 8 * 8; }

uint64_t hash_of_hashes(const std::vector<uint64_t>& hashes) {
  return xxh3({reinterpret_cast<const char*>(hashes.data()), hashes.size() * sizeof(uint64_t)});
}

std::vector<uint64_t> hash_blocks(std::string_view text) {
  std::vector<uint64_t> hashes((text.size() + kBlockBytes - 1) / kBlockBytes);
  parallel_for(static_cast<int64_t>(hashes.size()), 16, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i)
      hashes[i] = xxh3(text.substr(i * kBlockBytes, kBlockBytes));
  });
  return hashes;
}

}  // namespace

TokenStoreWriter::TokenStoreWriter(const fs::path& path, int64_t vocab_size)
    : file_(path), id_bytes_(vocab_size <= 1 << 16 ? 2 : 4) {}

void TokenStoreWriter::write(const void* data, size_t bytes) {
  pending_.append(static_cast<const char*>(data), bytes);
  bytes_ += bytes;
  flush_blocks();
}

void TokenStoreWriter::flush_blocks() {
  const size_t whole = pending_.size() / kBlockBytes * kBlockBytes;
  if (whole == 0) return;
  for (size_t at = 0; at < whole; at += kBlockBytes)
    block_hashes_.push_back(xxh3(std::string_view(pending_).substr(at, kBlockBytes)));
  file_.write(pending_.data(), whole);
  pending_.erase(0, whole);
}

void TokenStoreWriter::pad() {
  constexpr char kZeros[8] = {};
  write(kZeros, padded(bytes_) - bytes_);
}

void TokenStoreWriter::push_bit(bool bit) {
  const uint64_t position = offsets_.back();
  if (position % 64 == 0) mask_.push_back(0);
  mask_.back() |= uint64_t{bit} << (position % 64);
  ++offsets_.back();
}

void TokenStoreWriter::append(const std::vector<int32_t>& ids, const std::vector<bool>& supervised,
                              DocumentPlace place) {
  if (ids.size() != supervised.size()) throw std::logic_error("TokenStoreWriter: one mark per id");
  if (id_bytes_ == 2) {
    const std::vector<uint16_t> narrow(ids.begin(), ids.end());
    write(narrow.data(), narrow.size() * sizeof(uint16_t));
  } else {
    write(ids.data(), ids.size() * sizeof(int32_t));
  }
  offsets_.push_back(offsets_.back());
  for (const bool bit : supervised) push_bit(bit);
  places_.push_back(static_cast<uint64_t>(place.file) << kLineBits |
                    static_cast<uint64_t>(place.line));
}

void TokenStoreWriter::finish(const Json& metadata) {
  pad();
  write(mask_.data(), mask_.size() * sizeof(uint64_t));
  write(offsets_.data(), offsets_.size() * sizeof(uint64_t));
  write(places_.data(), places_.size() * sizeof(uint64_t));
  const std::string text = metadata.dump(-1, ' ', false, Json::error_handler_t::replace);
  write(text.data(), text.size());
  pad();
  if (!pending_.empty()) block_hashes_.push_back(xxh3(pending_));
  TokenStoreFooter footer{.magic = {},
                          .version = kVersion,
                          .id_bytes = id_bytes_,
                          .documents = places_.size(),
                          .tokens = offsets_.back(),
                          .metadata_bytes = text.size(),
                          .checksum = hash_of_hashes(block_hashes_)};
  std::memcpy(footer.magic, kMagic, sizeof kMagic);
  file_.write(pending_);
  file_.write(&footer, sizeof footer);
  file_.commit();
}

TokenStore::TokenStore(const fs::path& path) : file_(path) {
  const TokenStoreFooter footer = read_footer();
  locate(footer);
  verify(footer);
}

void TokenStore::refuse(const std::string& what) const {
  throw Error({.what = "is not a usable token cache: " + what, .where = file_.path().string()});
}

TokenStoreFooter TokenStore::read_footer() const {
  TokenStoreFooter footer;
  const auto bytes = file_.bytes();
  if (bytes.size() < sizeof footer || bytes.size() % 8 != 0) refuse("it is truncated");
  std::memcpy(&footer, bytes.data() + bytes.size() - sizeof footer, sizeof footer);
  if (std::memcmp(footer.magic, kMagic, sizeof kMagic) != 0) refuse("wrong magic number");
  if (footer.version != kVersion)
    refuse(cat("format version ", footer.version, ", this program reads ", kVersion));
  if (footer.id_bytes != 2 && footer.id_bytes != 4) refuse("wrong width of ids");
  return footer;
}

// Sizes are bounded by the file's before they are added up, so nothing overflows.
void TokenStore::locate(const TokenStoreFooter& footer) {
  const uint64_t size = file_.bytes().size() - sizeof footer;
  if (footer.tokens > size || footer.documents > size / 16 || footer.metadata_bytes > size)
    refuse("its sizes do not fit");
  const uint64_t ids = padded(footer.tokens * footer.id_bytes);
  const uint64_t mask = (footer.tokens + 63) / 64 * 8;
  const uint64_t offsets = (footer.documents + 1) * 8;
  const uint64_t places = footer.documents * 8;
  if (ids + mask + offsets + places + padded(footer.metadata_bytes) != size)
    refuse("its sizes do not fit");
  const std::byte* base = file_.bytes().data();
  id_bytes_ = footer.id_bytes;
  documents_ = static_cast<int64_t>(footer.documents);
  tokens_ = static_cast<int64_t>(footer.tokens);
  narrow_ = reinterpret_cast<const uint16_t*>(base);
  wide_ = reinterpret_cast<const int32_t*>(base);
  mask_ = reinterpret_cast<const uint64_t*>(base + ids);
  offsets_ = mask_ + mask / 8;
  places_ = offsets_ + documents_ + 1;
  metadata_ = parse_json(file_.text().substr(ids + mask + offsets + places, footer.metadata_bytes),
                         file_.path().string() + ": metadata");
}

void TokenStore::verify(const TokenStoreFooter& footer) const {
  const auto content = file_.text().substr(0, file_.text().size() - sizeof footer);
  if (hash_of_hashes(hash_blocks(content)) != footer.checksum) refuse("wrong checksum");
  const bool ordered = std::is_sorted(offsets_, offsets_ + documents_ + 1);
  if (!ordered || offsets_[0] != 0 || offsets_[documents_] != footer.tokens)
    refuse("its offsets are out of order");
}

DocumentPlace TokenStore::place(int64_t document) const {
  const uint64_t place = places_[document];
  return {static_cast<int64_t>(place >> kLineBits),
          static_cast<int64_t>(place & ((uint64_t{1} << kLineBits) - 1))};
}

int64_t TokenStore::count_supervised(int64_t begin, int64_t end) const {
  int64_t count = 0;
  for (; begin < end && begin % 64 != 0; ++begin) count += supervised(begin);
  for (; begin + 64 <= end; begin += 64) count += std::popcount(mask_[begin / 64]);
  for (; begin < end; ++begin) count += supervised(begin);
  return count;
}

}  // namespace gradus
