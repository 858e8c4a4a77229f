// SPDX-License-Identifier: Apache-2.0
// Tokenised documents in one memory-mapped file.
//
// Goals: any token range in O(1) without parsing; a file that is either whole or absent; damage is
// noticed before use. Not a goal: exchange between machines of different byte order.
//
// Layout, little-endian, every part aligned to 8 bytes:
//   ids        tokens x 2 or 4 bytes (2 when the vocabulary fits)
//   mask       one bit per token, 64 to a word: 1 = the model learns to predict this token
//   offsets    documents + 1 x u64: first token of each document, then the number of tokens
//   places     documents x u64: file number << 40 | line number
//   metadata   JSON
//   footer     TokenStoreFooter
// The checksum is xxh3 over the xxh3 of each 1 MiB block of everything before the footer.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/json.h"

namespace gradus {

struct TokenStoreFooter {
  char magic[8];
  uint32_t version;
  uint32_t id_bytes;
  uint64_t documents;
  uint64_t tokens;
  uint64_t metadata_bytes;
  uint64_t checksum;
};

struct DocumentPlace {
  int64_t file = 0;
  int64_t line = 0;
};

// Writes a store front to back; what is not finished never appears under its name. Ids go to disk
// as they come, the rest (about 1 bit a token and 16 bytes a document) waits in memory.
class TokenStoreWriter {
 public:
  TokenStoreWriter(const fs::path& path, int64_t vocab_size);

  // ids are in [0, vocab_size), supervised has the same length.
  void append(const std::vector<int32_t>& ids, const std::vector<bool>& supervised,
              DocumentPlace place);
  void finish(const Json& metadata);

 private:
  void write(const void* data, size_t bytes);
  void flush_blocks();
  void pad();
  void push_bit(bool bit);

  AtomicFile file_;
  uint32_t id_bytes_;
  std::string pending_;
  std::vector<uint64_t> block_hashes_, mask_, offsets_{0}, places_;
  uint64_t bytes_ = 0;
};

class TokenStore {
 public:
  // Checks magic, version, sizes, order of offsets and checksum; throws gradus::Error naming the
  // file.
  explicit TokenStore(const fs::path& path);

  int64_t documents() const { return documents_; }
  int64_t tokens() const { return tokens_; }
  const Json& metadata() const { return metadata_; }

  int64_t document_begin(int64_t document) const {
    return static_cast<int64_t>(offsets_[document]);
  }
  int64_t document_end(int64_t document) const {
    return static_cast<int64_t>(offsets_[document + 1]);
  }
  DocumentPlace place(int64_t document) const;

  int32_t id(int64_t token) const { return id_bytes_ == 2 ? narrow_[token] : wide_[token]; }
  bool supervised(int64_t token) const { return mask_[token >> 6] >> (token & 63) & 1; }
  // Supervised tokens in [begin, end).
  int64_t count_supervised(int64_t begin, int64_t end) const;

 private:
  TokenStoreFooter read_footer() const;
  void locate(const TokenStoreFooter& footer);
  void verify(const TokenStoreFooter& footer) const;
  [[noreturn]] void refuse(const std::string& what) const;

  MappedFile file_;
  uint32_t id_bytes_ = 4;
  int64_t documents_ = 0, tokens_ = 0;
  const uint16_t* narrow_ = nullptr;
  const int32_t* wide_ = nullptr;
  const uint64_t *mask_ = nullptr, *offsets_ = nullptr, *places_ = nullptr;
  Json metadata_;
};

}  // namespace gradus
