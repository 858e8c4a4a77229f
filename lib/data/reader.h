// SPDX-License-Identifier: Apache-2.0
// Data files as rows, streamed: JSON Lines (one object a line), plain text (documents) and CSV
// (RFC 4180, comma, first record = column names). All may be gzip or zstd. A record carries the
// line it starts on; memory is bounded by max_record_bytes per record.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "data/recipe.h"

namespace gradus {

struct Record {
  int64_t line = 0;     // 1-based, where the record starts
  std::string raw;      // its bytes as they are in the file
  std::string problem;  // why it cannot be used; "" when it can
};

class RecordReader {
 public:
  virtual ~RecordReader() = default;
  // False at the end of the file. Throws gradus::Error when the file itself is broken.
  virtual bool next(Record& record) = 0;
  // The record as a JSON object; throws gradus::Error at `where`. Thread-safe, so that parsing can
  // run beside reading.
  virtual Json row(const Record& record, const std::string& where) const = 0;
  virtual int64_t consumed() const = 0;  // bytes of the file
};

struct ReaderOptions {
  FileFormat format = FileFormat::kAuto;
  std::string separator = {};     // plain text only
  std::string text_key = "text";  // plain text only: the key that the document gets
  int64_t max_record_bytes = 16 << 20;
};

// The format that a file name stands for (".jsonl.gz" is JSON Lines); throws for unknown endings.
FileFormat format_of_name(const fs::path& path);

std::unique_ptr<RecordReader> open_reader(const fs::path& path, const ReaderOptions& options);

// The file itself, or the files of a folder (not of its sub-folders) sorted by name; hidden files
// and, with FileFormat::kAuto, files of other kinds are passed over. Throws when nothing is left.
std::vector<fs::path> data_files(const fs::path& path, FileFormat format);

}  // namespace gradus
