// SPDX-License-Identifier: Apache-2.0
// The bytes of a file, decompressed when its first bytes say gzip (RFC 1952, several members
// allowed) or Zstandard (RFC 8878, several frames allowed). A truncated or corrupt file throws
// gradus::Error naming it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/files.h"

namespace gradus {

class ByteStream {
 public:
  virtual ~ByteStream() = default;
  // Fills up to `size` bytes; 0 only at the end.
  virtual size_t read(char* buffer, size_t size) = 0;
  // Bytes of the file read so far, before decompression.
  virtual int64_t consumed() const = 0;
};

std::unique_ptr<ByteStream> open_byte_stream(const fs::path& path);

// Lines of a stream without their "\n" or "\r\n", and without a byte order mark before the first.
class LineReader {
 public:
  LineReader(std::unique_ptr<ByteStream> stream, size_t max_line_bytes);

  // A line longer than the limit comes back cut, with too_long() true; its rest is skipped, so
  // memory stays bounded.
  bool next(std::string& line);
  bool too_long() const { return too_long_; }
  int64_t line_number() const { return line_number_; }  // of the last line, from 1
  int64_t consumed() const { return stream_->consumed(); }

 private:
  bool fill();
  void take(std::string& line, size_t end);

  std::unique_ptr<ByteStream> stream_;
  size_t max_line_bytes_;
  std::string buffer_;
  size_t position_ = 0, end_ = 0;
  int64_t line_number_ = 0;
  bool too_long_ = false;
};

}  // namespace gradus
