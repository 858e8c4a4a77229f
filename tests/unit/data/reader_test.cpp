// SPDX-License-Identifier: Apache-2.0
#include "data/reader.h"

#include <zlib.h>
#include <zstd.h>

#include "data/byte_stream.h"
#include "support/catch.h"
#include "toy.h"

namespace gradus {
namespace {

struct ReadRow {
  int64_t line;
  Json row;
  std::string error;
};

std::vector<ReadRow> read_all(const fs::path& path, const ReaderOptions& options = {}) {
  const auto reader = open_reader(path, options);
  std::vector<ReadRow> rows;
  Record record;
  while (reader->next(record)) {
    ReadRow row{record.line, nullptr, record.problem};
    if (record.problem.empty())
      row.error = error_of([&] { row.row = reader->row(record, cat("f:", record.line)); });
    rows.push_back(row);
  }
  return rows;
}

std::string gzip(const std::string& text) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(text.size() + 1000, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string zstd(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

std::string many_lines() {
  std::string text;
  for (int i = 0; i < 30000; ++i) text += cat("{\"text\": \"line ", i * 7919 % 30011, "\"}\n");
  return text;
}

}  // namespace

TEST_CASE("JSON Lines rows keep their line numbers past blank lines, CRLF and a byte order mark") {
  TemporaryFolder folder;
  write_file_atomic(folder / "a.jsonl", "\xef\xbb\xbf{\"a\": 1}\r\n\n  \n{\"a\": 2}\n{\"a\": 3}");
  const auto rows = read_all(folder / "a.jsonl");
  REQUIRE(rows.size() == 3);
  CHECK(rows[0].row == Json{{"a", 1}});
  CHECK(rows[1].line == 4);
  CHECK(rows[2].line == 5);
  CHECK(rows[2].row == Json{{"a", 3}});
}

TEST_CASE("gzip and zstd files give the lines of the plain file, also in several parts") {
  TemporaryFolder folder;
  const std::string text = many_lines();
  const std::string half = text.substr(0, text.size() / 2), rest = text.substr(text.size() / 2);
  write_file_atomic(folder / "a.jsonl", text);
  write_file_atomic(folder / "b.jsonl", gzip(text));
  write_file_atomic(folder / "c.jsonl.gz", gzip(half) + gzip(rest));
  write_file_atomic(folder / "d.jsonl.zst", zstd(half) + zstd(rest));
  const auto expected = read_all(folder / "a.jsonl");
  REQUIRE(expected.size() == 30000);
  for (const char* name : {"b.jsonl", "c.jsonl.gz", "d.jsonl.zst"}) {
    const auto rows = read_all(folder / name);
    REQUIRE(rows.size() == expected.size());
    for (size_t i = 0; i < rows.size(); i += 1000) CHECK(rows[i].row == expected[i].row);
    CHECK(rows.back().line == 30000);
  }
}

TEST_CASE("truncated and corrupt compressed files are refused by name") {
  TemporaryFolder folder;
  const std::string text = many_lines();
  for (const bool gz : {true, false}) {
    std::string bytes = gz ? gzip(text) : zstd(text);
    const fs::path path = folder / "a.jsonl";
    write_file_atomic(path, bytes.substr(0, bytes.size() - 3));
    CHECK(contains(error_of([&] { read_all(path); }),
                   "a.jsonl: " + std::string(gz ? "gzip" : "zstd") + " data is truncated"));
    for (size_t i = 20; i < 60; ++i) bytes[bytes.size() / 2 + i] ^= 0x55;
    write_file_atomic(path, bytes);
    CHECK(contains(error_of([&] { read_all(path); }), "corrupt"));
  }
}

TEST_CASE("any buffer size gives the same decompressed bytes") {
  TemporaryFolder folder;
  const std::string text = many_lines();
  for (const auto& bytes : {text, gzip(text), zstd(text)}) {
    write_file_atomic(folder / "a", bytes);
    for (const size_t size : {size_t{1} << 20, size_t{4096}, size_t{7}}) {
      const auto stream = open_byte_stream(folder / "a");
      std::string out, buffer(size, '\0');
      while (const size_t got = stream->read(buffer.data(), size)) out.append(buffer, 0, got);
      CHECK(out == text);
      CHECK(stream->consumed() == static_cast<int64_t>(bytes.size()));
    }
  }
}

TEST_CASE("a bad JSON line is reported with its place and does not end the reading") {
  TemporaryFolder folder;
  write_file_atomic(folder / "a.jsonl",
                    "{\"a\": 1}\n{\"a\": }\n[1]\n{\"a\": 1, \"a\": 2}\n{\"a\": 4}\n");
  const auto rows = read_all(folder / "a.jsonl");
  REQUIRE(rows.size() == 5);
  CHECK(contains(rows[1].error, "f:2:7: is not valid JSON"));
  CHECK(contains(rows[2].error, "f:3: is not a JSON object"));
  CHECK(contains(rows[2].error, "jq -c"));
  CHECK(contains(rows[3].error, "duplicate key 'a'"));
  CHECK(rows[4].row == Json{{"a", 4}});
}

TEST_CASE("a line beyond the limit is marked, bounded in memory and skipped whole") {
  TemporaryFolder folder;
  write_file_atomic(folder / "a.jsonl",
                    "{\"a\": 1}\n" + std::string(1 << 20, 'x') + "\n{\"a\": 2}\n");
  const auto reader = open_reader(folder / "a.jsonl", {.max_record_bytes = 100});
  Record record;
  REQUIRE(reader->next(record));
  REQUIRE(reader->next(record));
  CHECK(record.problem == "longer than max_record_bytes (100)");
  CHECK(record.raw.size() <= 101);
  REQUIRE(reader->next(record));
  CHECK(record.line == 3);
  CHECK(record.problem.empty());
  CHECK_FALSE(reader->next(record));
}

TEST_CASE("a line of exactly the limit is good") {
  TemporaryFolder folder;
  const std::string line = "{\"a\": 1}";
  write_file_atomic(folder / "a.jsonl", line + "\r\n" + line + "\n" + line + " \n");
  const auto rows =
      read_all(folder / "a.jsonl", {.max_record_bytes = static_cast<int64_t>(line.size())});
  REQUIRE(rows.size() == 3);
  CHECK(rows[0].error.empty());
  CHECK(rows[1].error.empty());
  CHECK_FALSE(rows[2].error.empty());
}

TEST_CASE("a text file is one document, or one per separator") {
  TemporaryFolder folder;
  write_file_atomic(folder / "a.txt", "one\ntwo\n\n\n\nthree\n\n   \n\nfour");
  const auto whole = read_all(folder / "a.txt");
  REQUIRE(whole.size() == 1);
  CHECK(whole[0].row == Json{{"text", "one\ntwo\n\n\n\nthree\n\n   \n\nfour"}});

  const auto parts = read_all(folder / "a.txt", {.separator = "\n\n", .text_key = "body"});
  REQUIRE(parts.size() == 3);
  CHECK(parts[0].row == Json{{"body", "one\ntwo"}});
  CHECK(parts[0].line == 1);
  CHECK(parts[1].row == Json{{"body", "three"}});
  CHECK(parts[1].line == 6);
  CHECK(parts[2].line == 10);
}

TEST_CASE("separated documents are the same wherever the read blocks end") {
  TemporaryFolder folder;
  std::string text;
  std::vector<std::string> expected;
  for (uint64_t i = 0; i < 400; ++i) {
    expected.push_back(
        std::string(1 + random_bits(1, 1, i) % 2000, static_cast<char>('a' + i % 26)));
    text += (i ? "<SEP>" : "") + expected.back();
  }
  write_file_atomic(folder / "a.txt", text);
  const auto rows = read_all(folder / "a.txt", {.separator = "<SEP>"});
  REQUIRE(rows.size() == expected.size());
  for (size_t i = 0; i < rows.size(); ++i) CHECK(rows[i].row["text"] == expected[i]);
}

TEST_CASE("a text document beyond the limit is marked and the next one is whole") {
  TemporaryFolder folder;
  write_file_atomic(folder / "a.txt",
                    std::string(300000, 'x') + "\n\ngood\n\n" + std::string(99, 'y'));
  const auto rows = read_all(folder / "a.txt", {.separator = "\n\n", .max_record_bytes = 100});
  REQUIRE(rows.size() == 3);
  CHECK(contains(rows[0].error, "longer than max_record_bytes"));
  CHECK(rows[1].row["text"] == "good");
  CHECK(rows[1].line == 3);
  CHECK(rows[2].error.empty());
}

TEST_CASE("text that is not UTF-8 is refused") {
  TemporaryFolder folder;
  write_file_atomic(folder / "a.txt", "good\n\nbad \xff\n\nfine");
  const auto rows = read_all(folder / "a.txt", {.separator = "\n\n"});
  REQUIRE(rows.size() == 3);
  CHECK(contains(rows[1].error, "f:3: is not valid UTF-8"));
}

TEST_CASE("CSV follows RFC 4180: quotes, commas, line breaks and doubled quotes in fields") {
  TemporaryFolder folder;
  write_file_atomic(folder / "a.csv",
                    "text,label\r\nplain,1\r\n\"a, \"\"b\"\"\nc\",2\r\n,\r\n\"\",\"x\"");
  const auto rows = read_all(folder / "a.csv");
  REQUIRE(rows.size() == 4);
  CHECK(rows[0].row == Json{{"text", "plain"}, {"label", "1"}});
  CHECK(rows[1].row == Json{{"text", "a, \"b\"\nc"}, {"label", "2"}});
  CHECK(rows[1].line == 3);
  CHECK(rows[2].row == Json{{"text", ""}, {"label", ""}});
  CHECK(rows[3].line == 6);
}

TEST_CASE("malformed CSV records and headers are refused with the reason") {
  TemporaryFolder folder;
  write_file_atomic(folder / "a.csv", "a,b\n1\n\"x\"y,2\np\"q\",3\n\"open,1\n");
  const auto rows = read_all(folder / "a.csv");
  REQUIRE(rows.size() == 4);
  CHECK(contains(rows[0].error, "wrong number of CSV fields (expected 2, found 1)"));
  CHECK(contains(rows[1].error, "text after a closing quote"));
  CHECK(contains(rows[2].error, "a quote inside a field"));
  CHECK(contains(rows[3].error, "a quoted field is not closed"));
  write_file_atomic(folder / "a.csv", "a,b\n5\" disk,1\n2,3\n\"x\"\",4\n\",5\n6,7\n");
  const auto apart = read_all(folder / "a.csv");
  REQUIRE(apart.size() == 4);  // only a quote at the start of a field opens one
  CHECK(contains(apart[0].error, "a quote inside a field"));
  CHECK(apart[1].row == Json{{"a", "2"}, {"b", "3"}});
  CHECK(apart[2].row == Json{{"a", "x\",4\n"}, {"b", "5"}});
  CHECK(apart[3].row == Json{{"a", "6"}, {"b", "7"}});
  write_file_atomic(folder / "a.csv", "a,a\n");
  CHECK(contains(error_of([&] { read_all(folder / "a.csv"); }), "two CSV columns are named 'a'"));
  write_file_atomic(folder / "a.csv", "");
  CHECK(contains(error_of([&] { read_all(folder / "a.csv"); }), "is empty"));
}

TEST_CASE("a folder gives its data files by name, a strange file needs a format") {
  TemporaryFolder folder;
  for (const char* name : {"b.jsonl", "a.jsonl.gz", "notes.pdf", ".hidden.jsonl"})
    write_file_atomic(folder / name, "{}");
  const auto files = data_files(folder.path(), FileFormat::kAuto);
  REQUIRE(files.size() == 2);
  CHECK(files[0].filename() == "a.jsonl.gz");
  CHECK(contains(error_of([&] { open_reader(folder / "notes.pdf", {}); }), "set format"));
  CHECK(contains(error_of([&] { open_reader(folder / "b.jsonl", {.separator = "x"}); }),
                 "separator is for text files only"));
  CHECK(contains(error_of([&] { data_files(folder / "missing", FileFormat::kAuto); }),
                 "does not exist"));
}

}  // namespace gradus
