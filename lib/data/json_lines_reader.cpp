// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"
#include "data/reader_kinds.h"

namespace gradus {
namespace {

bool is_blank(const std::string& line) {
  return line.find_first_not_of(" \t\r\n\v\f") == std::string::npos;
}

// parse_json counts lines inside the record, which is one line: "where:1:7" is "where:7".
std::string without_line(const std::string& place, const std::string& where) {
  const std::string prefix = where + ":1:";
  return place.starts_with(prefix) ? where + ":" + place.substr(prefix.size()) : place;
}

class JsonLinesReader : public RecordReader {
 public:
  JsonLinesReader(std::unique_ptr<ByteStream> stream, int64_t max_record_bytes)
      : lines_(std::move(stream), static_cast<size_t>(max_record_bytes)),
        max_record_bytes_(max_record_bytes) {}

  bool next(Record& record) override {
    do {
      if (!lines_.next(record.raw)) return false;
    } while (is_blank(record.raw) && !lines_.too_long());
    record.line = lines_.line_number();
    record.problem = lines_.too_long() ? too_long_problem(max_record_bytes_) : "";
    return true;
  }

  Json row(const Record& record, const std::string& where) const override {
    Json value = parse(record.raw, where);
    if (value.is_object()) return value;
    const bool array = value.is_array() || record.raw == "[";
    throw Error(
        {.what = "is not a JSON object",
         .where = where,
         .found = printable(record.raw, 40),
         .hint =
             array ? "one object a line is expected; jq -c '.[]' turns an array into lines" : ""});
  }

  int64_t consumed() const override { return lines_.consumed(); }

 private:
  Json parse(const std::string& raw, const std::string& where) const {
    try {
      return parse_json(raw, where);
    } catch (const Error& error) {
      ErrorParts parts = error.parts();
      parts.where = without_line(parts.where, where);
      if (raw == "[" || raw == "[{" || raw == "{")
        parts.hint = "one object a line is expected; jq -c turns other JSON into lines";
      throw Error(parts);
    }
  }

  LineReader lines_;
  int64_t max_record_bytes_;
};

}  // namespace

std::unique_ptr<RecordReader> json_lines_reader(std::unique_ptr<ByteStream> stream,
                                                const ReaderOptions& options) {
  return std::make_unique<JsonLinesReader>(std::move(stream), options.max_record_bytes);
}

}  // namespace gradus
