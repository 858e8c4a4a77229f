// SPDX-License-Identifier: Apache-2.0
// Rows of data files from outside: the readers, JSON rows and chat shapes. The first byte chooses
// the format. Anything but success or gradus::Error is a finding.
#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "data/reader_kinds.h"
#include "data/shape.h"

namespace {

using namespace gradus;

constexpr int64_t kMaxRecordBytes = 4096;

class MemoryStream : public ByteStream {
 public:
  explicit MemoryStream(std::string_view bytes) : bytes_(bytes) {}
  size_t read(char* buffer, size_t size) override {
    const size_t got = std::min(size, bytes_.size() - position_);
    std::memcpy(buffer, bytes_.data() + position_, got);
    position_ += got;
    return got;
  }
  int64_t consumed() const override { return static_cast<int64_t>(position_); }

 private:
  std::string_view bytes_;
  size_t position_ = 0;
};

std::unique_ptr<RecordReader> open(uint8_t choice, std::string_view bytes) {
  auto stream = std::make_unique<MemoryStream>(bytes);
  const ReaderOptions options{.separator = choice & 4 ? "\n\n" : "",
                              .max_record_bytes = kMaxRecordBytes};
  if (choice % 3 == 0) return json_lines_reader(std::move(stream), options);
  if (choice % 3 == 1) return text_reader(std::move(stream), options);
  return csv_reader(std::move(stream), options, "fuzz");
}

void use(const Json& row) {
  const DetectedShape found = detect_shape(row, {}, "fuzz");
  const RowKeys keys{.messages_key = found.messages_key};
  if (is_chat(found.shape)) {
    row_chat(row, found.shape, keys, "fuzz");
  } else {
    row_text(row, keys, "fuzz");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  try {
    const auto reader = open(data[0], {reinterpret_cast<const char*>(data) + 1, size - 1});
    Record record;
    while (reader->next(record)) {
      if (record.raw.size() > kMaxRecordBytes + 2 && record.problem.empty()) __builtin_trap();
      try {
        if (record.problem.empty()) use(reader->row(record, "fuzz"));
      } catch (const Error&) {
      }
    }
  } catch (const Error&) {
  }
  return 0;
}
