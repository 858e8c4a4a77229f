// SPDX-License-Identifier: Apache-2.0
#include "data/byte_stream.h"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace gradus {
namespace {

constexpr size_t kBlockBytes = 1 << 17;

class PlainStream : public ByteStream {
 public:
  explicit PlainStream(const fs::path& path)
      : path_(path), descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (descriptor_ < 0) fail("cannot open");
  }
  ~PlainStream() override { ::close(descriptor_); }
  PlainStream(const PlainStream&) = delete;
  PlainStream& operator=(const PlainStream&) = delete;

  size_t read(char* buffer, size_t size) override {
    for (;;) {
      const ssize_t got = ::read(descriptor_, buffer, size);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail("cannot read");
      consumed_ += got;
      return static_cast<size_t>(got);
    }
  }
  int64_t consumed() const override { return consumed_; }

  std::string first_bytes(size_t size) const {
    std::string bytes(size, '\0');
    const ssize_t got = ::pread(descriptor_, bytes.data(), size, 0);
    if (got < 0) fail("cannot read");
    bytes.resize(static_cast<size_t>(got));
    return bytes;
  }

 private:
  [[noreturn]] void fail(const char* action) const {
    throw Error({.what = cat(action, ": ", std::strerror(errno)), .where = path_.string()});
  }

  fs::path path_;
  int descriptor_;
  int64_t consumed_ = 0;
};

// Compressed input, a block at a time.
class CompressedStream : public ByteStream {
 public:
  CompressedStream(std::unique_ptr<PlainStream> input, const fs::path& path)
      : path_(path), input_(std::move(input)), block_(kBlockBytes) {}
  int64_t consumed() const override { return input_->consumed(); }

 protected:
  // False at the end of the file.
  bool refill() {
    size_ = input_->read(block_.data(), block_.size());
    return size_ > 0;
  }
  [[noreturn]] void fail(const std::string& what) const {
    throw Error({.what = what, .where = path_.string()});
  }

  fs::path path_;
  std::unique_ptr<PlainStream> input_;
  std::vector<char> block_;
  size_t size_ = 0;
};

class GzipStream : public CompressedStream {
 public:
  GzipStream(std::unique_ptr<PlainStream> input, const fs::path& path)
      : CompressedStream(std::move(input), path) {
    if (inflateInit2(&state_, MAX_WBITS + 16) != Z_OK) throw std::bad_alloc();
  }
  ~GzipStream() override { inflateEnd(&state_); }

  size_t read(char* buffer, size_t size) override {
    state_.next_out = reinterpret_cast<Bytef*>(buffer);
    state_.avail_out = static_cast<uInt>(std::min<size_t>(size, 1u << 30));
    const uInt room = state_.avail_out;
    while (state_.avail_out == room && advance()) {
    }
    return room - state_.avail_out;
  }

 private:
  bool advance() {
    if (state_.avail_in == 0 && !refill_input()) {
      if (!member_ended_) fail("gzip data is truncated");
      return false;
    }
    if (member_ended_) inflateReset(&state_);
    const int code = inflate(&state_, Z_NO_FLUSH);
    if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
      fail(cat("gzip data is corrupt: ", state_.msg ? state_.msg : "unexpected bytes"));
    member_ended_ = code == Z_STREAM_END;
    return true;
  }
  bool refill_input() {
    if (!refill()) return false;
    state_.next_in = reinterpret_cast<Bytef*>(block_.data());
    state_.avail_in = static_cast<uInt>(size_);
    return true;
  }

  z_stream state_{};
  bool member_ended_ = false;
};

// The decoder's own limit bounds the window to 128 MiB.
class ZstdStream : public CompressedStream {
 public:
  ZstdStream(std::unique_ptr<PlainStream> input, const fs::path& path)
      : CompressedStream(std::move(input), path), state_(ZSTD_createDStream()) {
    if (!state_) throw std::bad_alloc();
  }
  ~ZstdStream() override { ZSTD_freeDStream(state_); }

  size_t read(char* buffer, size_t size) override {
    ZSTD_outBuffer output{buffer, size, 0};
    while (output.pos == 0) {
      if (available_.pos == available_.size && !drained_ && !refill_input()) {
        if (expected_ != 0) fail("zstd data is truncated");
        return 0;
      }
      expected_ = ZSTD_decompressStream(state_, &output, &available_);
      if (ZSTD_isError(expected_))
        fail(cat("zstd data is corrupt: ", ZSTD_getErrorName(expected_)));
      // A full buffer inside a frame: the decoder may hold more output without more input.
      drained_ = output.pos == size && expected_ != 0;
    }
    return output.pos;
  }

 private:
  bool refill_input() {
    if (!refill()) return false;
    available_ = {block_.data(), size_, 0};
    return true;
  }

  ZSTD_DStream* state_;
  ZSTD_inBuffer available_{nullptr, 0, 0};
  size_t expected_ = 1;
  bool drained_ = false;
};

}  // namespace

std::unique_ptr<ByteStream> open_byte_stream(const fs::path& path) {
  if (fs::is_directory(path))
    throw Error({.what = "is a folder, not a file", .where = path.string()});
  auto plain = std::make_unique<PlainStream>(path);
  const std::string magic = plain->first_bytes(4);
  if (magic.starts_with("\x1f\x8b")) return std::make_unique<GzipStream>(std::move(plain), path);
  if (magic == "\x28\xb5\x2f\xfd") return std::make_unique<ZstdStream>(std::move(plain), path);
  return plain;
}

LineReader::LineReader(std::unique_ptr<ByteStream> stream, size_t max_line_bytes)
    : stream_(std::move(stream)), max_line_bytes_(max_line_bytes), buffer_(kBlockBytes, '\0') {}

bool LineReader::fill() {
  position_ = 0;
  end_ = stream_->read(buffer_.data(), buffer_.size());
  return end_ > 0;
}

void LineReader::take(std::string& line, size_t end) {
  const size_t room = max_line_bytes_ + 1 - std::min(line.size(), max_line_bytes_ + 1);
  const size_t size = end - position_;
  too_long_ = too_long_ || size > room;
  line.append(buffer_, position_, std::min(size, room));
  position_ = end;
}

bool LineReader::next(std::string& line) {
  line.clear();
  too_long_ = false;
  bool started = false;
  while (position_ < end_ || fill()) {
    started = true;
    const size_t newline = std::string_view(buffer_.data(), end_).find('\n', position_);
    take(line, std::min(newline, end_));
    if (newline == std::string_view::npos) continue;
    ++position_;
    break;
  }
  if (!started) return false;
  if (++line_number_ == 1 && line.starts_with("\xef\xbb\xbf")) line.erase(0, 3);
  if (!too_long_ && line.ends_with('\r')) line.pop_back();
  too_long_ = too_long_ || line.size() > max_line_bytes_;
  return true;
}

}  // namespace gradus
