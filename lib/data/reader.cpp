// SPDX-License-Identifier: Apache-2.0
#include "data/reader.h"

#include <algorithm>

#include "base/error.h"
#include "data/reader_kinds.h"

namespace gradus {
namespace {

struct NameEnding {
  const char* ending;
  FileFormat format;
};
constexpr NameEnding kEndings[] = {
    {".jsonl", FileFormat::kJsonLines}, {".ndjson", FileFormat::kJsonLines},
    {".json", FileFormat::kJsonLines},  {".csv", FileFormat::kCsv},
    {".txt", FileFormat::kText},        {".text", FileFormat::kText},
    {".md", FileFormat::kText},
};

// kAuto when the name says nothing.
FileFormat guess_format(fs::path path) {
  if (path.extension() == ".gz" || path.extension() == ".zst") path.replace_extension();
  for (const auto& entry : kEndings) {
    if (path.extension() == entry.ending) return entry.format;
  }
  return FileFormat::kAuto;
}

std::vector<fs::path> files_of_folder(const fs::path& folder, FileFormat format) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const fs::path& path = entry.path();
    if (!entry.is_regular_file() || path.filename().string().starts_with('.')) continue;
    if (format == FileFormat::kAuto && guess_format(path) == FileFormat::kAuto) continue;
    files.push_back(path);
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

FileFormat format_of_name(const fs::path& path) {
  const FileFormat format = guess_format(path);
  if (format != FileFormat::kAuto) return format;
  throw Error({.what = "the file name does not say which format this is",
               .where = path.string(),
               .expected = ".jsonl, .csv or .txt, also with .gz or .zst behind",
               .hint = "set format: jsonl, text or csv"});
}

std::vector<fs::path> data_files(const fs::path& path, FileFormat format) {
  if (!fs::exists(path)) throw Error({.what = "does not exist", .where = path.string()});
  if (!fs::is_directory(path)) return {path};
  const std::vector<fs::path> files = files_of_folder(path, format);
  if (files.empty())
    throw Error({.what = "the folder holds no data files", .where = path.string()});
  return files;
}

std::string too_long_problem(int64_t max_record_bytes) {
  return cat("longer than max_record_bytes (", max_record_bytes, ")");
}

std::unique_ptr<RecordReader> open_reader(const fs::path& path, const ReaderOptions& options) {
  const FileFormat format =
      options.format == FileFormat::kAuto ? format_of_name(path) : options.format;
  if (format != FileFormat::kText && !options.separator.empty())
    throw Error({.what = "separator is for text files only", .where = path.string()});
  auto stream = open_byte_stream(path);
  if (format == FileFormat::kText) return text_reader(std::move(stream), options);
  if (format == FileFormat::kCsv) return csv_reader(std::move(stream), options, path.string());
  return json_lines_reader(std::move(stream), options);
}

}  // namespace gradus
