// SPDX-License-Identifier: Apache-2.0
#include "base/digest.h"

#include <sys/stat.h>

#include <array>
#include <cstdio>
#include <thread>

#include "base/error.h"
#include "base/temporary_folder.h"
#include "support/catch.h"

using namespace gradus;

namespace {

std::string shell(const std::string& command) {
  std::FILE* pipe = ::popen(command.c_str(), "r");
  std::array<char, 256> buffer{};
  std::string out;
  while (std::fgets(buffer.data(), buffer.size(), pipe)) out += buffer.data();
  ::pclose(pipe);
  return out;
}

void make_model(const fs::path& folder) {
  write_file_atomic(folder / "config.json", "{}");
  write_file_atomic(folder / "model.safetensors", std::string(100'000, 'w'));
  write_file_atomic(folder / "tokenizer.json", "[]");
}

// Old enough to be remembered by a cache.
void wait_until_settled() { std::this_thread::sleep_for(std::chrono::milliseconds(60)); }

}  // namespace

TEST_CASE("a model folder's digest is that of sha256sum over its sorted content files") {
  const TemporaryFolder folder;
  make_model(folder.path());
  const std::string by_shell =
      shell("cd " + folder.path().string() +
            " && sha256sum config.json model.safetensors tokenizer.json | LC_ALL=C sort -k2 | "
            "sha256sum | cut -c1-64");
  CHECK(DigestCache().folder(folder.path()) + "\n" == by_shell);
}

TEST_CASE("notes beside a model do not change its digest, content does") {
  const TemporaryFolder folder;
  make_model(folder.path());
  const std::string before = DigestCache().folder(folder.path());
  write_file_atomic(folder / "lineage.json", "{}");
  write_file_atomic(folder / "README.md", "about");
  CHECK(DigestCache().folder(folder.path()) == before);
  write_file_atomic(folder / "chat_template.jinja", "{{ x }}");
  CHECK(DigestCache().folder(folder.path()) != before);
}

TEST_CASE("a run folder's digest leaves out the records of the run") {
  const TemporaryFolder folder;
  make_model(folder / "model");
  write_file_atomic(folder / "report.json", "{}");
  const std::string before = DigestCache().folder(folder.path());
  write_file_atomic(folder / "metrics.jsonl", "1");
  write_file_atomic(folder / "checkpoints" / "step-1" / "state.safetensors", "1");
  write_file_atomic(folder / "model" / "lineage.json", "{}");
  write_file_atomic(folder / ".lock", "1");
  CHECK(DigestCache().folder(folder.path()) == before);
  write_file_atomic(folder / "model" / "config.json", "{ }");
  CHECK(DigestCache().folder(folder.path()) != before);
}

TEST_CASE("an unchanged file is hashed once and a changed one again") {
  const TemporaryFolder folder;
  const fs::path file = folder / "data.txt", cache_file = folder / "cache.json";
  write_file_atomic(file, "one");
  wait_until_settled();
  DigestCache first(cache_file);
  const std::string digest = first.file(file);
  first.save();
  // A marked entry shows that the second cache answers from the file.
  std::string text = read_file(cache_file);
  text.replace(text.find(digest), 4, "feed");
  write_file_atomic(cache_file, text);
  DigestCache second(cache_file);
  CHECK(second.file(file).substr(0, 4) == "feed");
  write_file_atomic(file, "two");
  CHECK(second.file(file) == DigestCache().file(file));
}

TEST_CASE("a broken cache file counts as empty") {
  const TemporaryFolder folder;
  write_file_atomic(folder / "data.txt", "one");
  for (const char* text :
       {"{", "{\"format\": 3}", "{\"format\":\"gradus-digests/1\",\"files\":[1]}"}) {
    write_file_atomic(folder / "cache.json", text);
    CHECK(DigestCache(folder / "cache.json").file(folder / "data.txt") ==
          DigestCache().file(folder / "data.txt"));
  }
}

TEST_CASE("folders that link into themselves and missing paths are refused") {
  const TemporaryFolder folder;
  write_file_atomic(folder / "a" / "file", "x");
  fs::create_directory_symlink(folder / "a", folder / "a" / "loop");
  CHECK_THROWS_AS(DigestCache().folder(folder.path()), Error);
  CHECK_THROWS_AS(DigestCache().path(folder / "missing"), Error);
}

TEST_CASE("a data set's digest counts every visible file, whatever it is called") {
  const TemporaryFolder folder;
  write_file_atomic(folder / "data" / "a.jsonl", "1");
  write_file_atomic(folder / "data" / "config.json", "{}");
  std::string before = DigestCache().data(folder / "data");
  for (const char* name :
       {"README.md", "report.txt", "metrics.jsonl", "x.log", "sub/lineage.json"}) {
    write_file_atomic(folder / "data" / name, "new");
    const std::string now = DigestCache().data(folder / "data");
    CHECK(now != before);
    before = now;
  }
  write_file_atomic(folder / "data" / ".lock", "1");
  CHECK(DigestCache().data(folder / "data") == before);
  CHECK(DigestCache().data(folder / "data/a.jsonl") == DigestCache().file(folder / "data/a.jsonl"));
}
