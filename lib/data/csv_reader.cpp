// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include "base/error.h"
#include "data/reader_kinds.h"
#include "text/unicode.h"

namespace gradus {
namespace {

// Fields of one record, RFC 4180: a field in quotes may hold commas, line breaks and "" for a
// quote.
class FieldParser {
 public:
  FieldParser(const std::string& raw, const std::string& where) : raw_(raw), where_(where) {}

  std::vector<std::string> parse() {
    std::vector<std::string> fields;
    do {
      fields.push_back(at('"') ? quoted() : plain());
    } while (skip(','));
    if (position_ < raw_.size()) fail("text after a closing quote");
    return fields;
  }

 private:
  bool at(char c) const { return position_ < raw_.size() && raw_[position_] == c; }
  bool skip(char c) {
    if (!at(c)) return false;
    ++position_;
    return true;
  }

  std::string plain() {
    const size_t end = std::min(raw_.find(',', position_), raw_.size());
    std::string field = raw_.substr(position_, end - position_);
    if (field.find('"') != std::string::npos) fail("a quote inside a field that is not quoted");
    position_ = end;
    return field;
  }

  std::string quoted() {
    std::string field;
    ++position_;
    for (;;) {
      const size_t quote = raw_.find('"', position_);
      if (quote == std::string::npos) fail("a quoted field is not closed");
      field.append(raw_, position_, quote - position_);
      position_ = quote + 1;
      if (!skip('"')) return field;
      field += '"';
    }
  }

  [[noreturn]] void fail(const char* what) const {
    throw Error({.what = cat("is not valid CSV: ", what), .where = where_});
  }

  const std::string& raw_;
  const std::string& where_;
  size_t position_ = 0;
};

// Where a record ends: not inside a field in quotes, which only a quote at the field's start opens.
class RecordEnd {
 public:
  // Whether the record goes on behind this line.
  bool open_after(std::string_view line) {
    for (size_t at = 0;;) {
      if (!inside_) {
        inside_ = line.substr(at).starts_with('"');
        const size_t next = inside_ ? at : line.find(',', at);
        if (next == std::string_view::npos) return false;
        at = next + 1;
        if (!inside_) continue;
      }
      const size_t quote = line.find('"', at);
      if (quote == std::string_view::npos) return true;
      at = quote + 1;
      const std::string_view rest = line.substr(at);
      inside_ = rest.starts_with('"');
      if (!inside_ && !rest.starts_with(',')) return false;
      ++at;
    }
  }

 private:
  bool inside_ = false;
};

class CsvReader : public RecordReader {
 public:
  CsvReader(std::unique_ptr<ByteStream> stream, int64_t max_record_bytes, const std::string& where)
      : lines_(std::move(stream), static_cast<size_t>(max_record_bytes)),
        max_record_bytes_(max_record_bytes) {
    Record header;
    if (!next(header)) throw Error({.what = "is empty: no header line", .where = where});
    if (!header.problem.empty())
      throw Error({.what = "header line: " + header.problem, .where = where});
    columns_ = FieldParser(header.raw, where).parse();
    check_columns(where);
  }

  bool next(Record& record) override {
    std::string line;
    do {
      if (!lines_.next(line)) return false;
    } while (line.empty());
    record = {.line = lines_.line_number(), .raw = std::move(line), .problem = {}};
    bool too_long = lines_.too_long();
    RecordEnd end;
    bool open = end.open_after(record.raw);
    while (open && lines_.next(line)) {
      open = end.open_after(line);
      too_long = too_long || lines_.too_long() || exceeds(record.raw.size() + line.size() + 1);
      if (!too_long) record.raw += "\n" + line;
    }
    if (too_long) record.problem = too_long_problem(max_record_bytes_);
    return true;
  }

  Json row(const Record& record, const std::string& where) const override {
    if (find_invalid_utf8(record.raw))
      throw Error({.what = "is not valid UTF-8 text", .where = where});
    const std::vector<std::string> fields = FieldParser(record.raw, where).parse();
    if (fields.size() != columns_.size())
      throw Error({.what = "has the wrong number of CSV fields",
                   .where = where,
                   .expected = std::to_string(columns_.size()),
                   .found = std::to_string(fields.size())});
    Json row = Json::object();
    for (size_t i = 0; i < fields.size(); ++i) row[columns_[i]] = fields[i];
    return row;
  }

  int64_t consumed() const override { return lines_.consumed(); }

 private:
  bool exceeds(size_t size) const { return size > static_cast<size_t>(max_record_bytes_); }

  void check_columns(const std::string& where) const {
    std::set<std::string> seen;
    for (const auto& name : columns_) {
      if (find_invalid_utf8(name))
        throw Error({.what = "the CSV header is not valid UTF-8", .where = where});
      if (name.empty() || !seen.insert(name).second)
        throw Error({.what = name.empty()
                                 ? "a CSV column has no name"
                                 : cat("two CSV columns are named '", printable(name), "'"),
                     .where = where});
    }
  }

  LineReader lines_;
  int64_t max_record_bytes_;
  std::vector<std::string> columns_;
};

}  // namespace

std::unique_ptr<RecordReader> csv_reader(std::unique_ptr<ByteStream> stream,
                                         const ReaderOptions& options, const std::string& where) {
  return std::make_unique<CsvReader>(std::move(stream), options.max_record_bytes, where);
}

}  // namespace gradus
