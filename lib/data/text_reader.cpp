// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string_view>

#include "base/error.h"
#include "data/reader_kinds.h"
#include "text/unicode.h"

namespace gradus {
namespace {

constexpr size_t kBlockBytes = 1 << 16;

// Documents end at the separator; without one the file is a single document. Line breaks around a
// separated document belong to the separation and are removed; blank documents are passed over.
class TextReader : public RecordReader {
 public:
  TextReader(std::unique_ptr<ByteStream> stream, const ReaderOptions& options)
      : stream_(std::move(stream)), options_(options) {}

  bool next(Record& record) override {
    while (next_raw(record)) {
      if (!options_.separator.empty()) trim(record);
      if (record.raw.find_first_not_of(" \t\r\n\v\f") != std::string::npos) return true;
      if (!record.problem.empty()) return true;
    }
    return false;
  }

  Json row(const Record& record, const std::string& where) const override {
    if (find_invalid_utf8(record.raw))
      throw Error({.what = "is not valid UTF-8 text", .where = where});
    Json row = Json::object();
    row[options_.text_key] = record.raw;
    return row;
  }

  int64_t consumed() const override { return stream_->consumed(); }

 private:
  bool next_raw(Record& record) {
    record = {.line = line_, .raw = {}, .problem = {}};
    size_t searched = 0;
    while (true) {
      const size_t found = find_separator(searched);
      if (found != std::string::npos) {
        take(record, found, options_.separator.size());
        return true;
      }
      searched = bound_buffer();
      if (ended_) break;
      fill();
    }
    if (unread().empty() && !too_long_) return false;
    take(record, unread().size(), 0);
    return true;
  }

  std::string_view unread() const { return std::string_view(buffer_).substr(position_); }

  size_t find_separator(size_t from) const {
    return options_.separator.empty() ? std::string::npos : unread().find(options_.separator, from);
  }

  // Forgets what is beyond the limit, except a tail that may begin a separator. Returns where to go
  // on searching.
  size_t bound_buffer() {
    const size_t tail = options_.separator.empty() ? 0 : options_.separator.size() - 1;
    const size_t keep_from = unread().size() - std::min(tail, unread().size());
    if (keep_from <= static_cast<size_t>(options_.max_record_bytes)) return keep_from;
    skip(keep_from);
    too_long_ = true;
    return 0;
  }

  void fill() {
    buffer_.erase(0, position_);
    position_ = 0;
    const size_t old = buffer_.size();
    buffer_.resize(old + kBlockBytes);
    const size_t got = stream_->read(buffer_.data() + old, kBlockBytes);
    buffer_.resize(old + got);
    ended_ = got == 0;
    if (first_block_ && buffer_.starts_with("\xef\xbb\xbf")) position_ = 3;
    first_block_ = false;
  }

  void take(Record& record, size_t size, size_t separator) {
    record.raw = unread().substr(0, size);
    if (too_long_ || size > static_cast<size_t>(options_.max_record_bytes))
      record.problem = too_long_problem(options_.max_record_bytes);
    too_long_ = false;
    skip(size + separator);
  }

  void skip(size_t size) {
    const std::string_view text = unread().substr(0, size);
    line_ += std::count(text.begin(), text.end(), '\n');
    position_ += size;
  }

  static void trim(Record& record) {
    const size_t begin = std::min(record.raw.find_first_not_of("\r\n"), record.raw.size());
    const std::string_view skipped(record.raw.data(), begin);
    record.line += std::count(skipped.begin(), skipped.end(), '\n');
    record.raw.erase(0, begin);
    record.raw.erase(record.raw.find_last_not_of("\r\n") + 1);
  }

  std::unique_ptr<ByteStream> stream_;
  ReaderOptions options_;
  std::string buffer_;
  size_t position_ = 0;
  int64_t line_ = 1;
  bool ended_ = false, first_block_ = true, too_long_ = false;
};

}  // namespace

std::unique_ptr<RecordReader> text_reader(std::unique_ptr<ByteStream> stream,
                                          const ReaderOptions& options) {
  return std::make_unique<TextReader>(std::move(stream), options);
}

}  // namespace gradus
