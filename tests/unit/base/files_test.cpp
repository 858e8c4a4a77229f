// SPDX-License-Identifier: Apache-2.0
#include "base/files.h"

#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "base/error.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/temporary_folder.h"
#include "support/catch.h"

using namespace gradus;

TEST_CASE("an atomic file appears only when committed") {
  const TemporaryFolder folder;
  const fs::path path = folder / "sub/out.txt";
  {
    AtomicFile file(path);
    file.write("half");
  }
  CHECK_FALSE(fs::exists(path));
  CHECK(fs::is_empty(path.parent_path()));
  write_file_atomic(path, "whole");
  CHECK(read_file(path) == "whole");
}

TEST_CASE("an atomic folder refuses an existing destination and replaces it when told to") {
  const TemporaryFolder folder;
  fs::create_directory(folder / "model");
  write_file_atomic(folder / "model/old", "1");
  CHECK_THROWS_AS(AtomicFolder(folder / "model"), Error);
  {
    AtomicFolder next(folder / "model/", AtomicFolder::Existing::kReplace);
    write_file_atomic(next.path() / "new", "2");
    CHECK(fs::exists(folder / "model/old"));
    next.commit();
  }
  CHECK_FALSE(fs::exists(folder / "model/old"));
  CHECK(read_file(folder / "model/new") == "2");
}

TEST_CASE("of two that make one folder the second is refused") {
  const TemporaryFolder folder;
  AtomicFolder slow(folder / "model");
  write_file_atomic(folder / "model" / "first", "1");  // another process was faster
  CHECK_THROWS_WITH(slow.commit(), Catch::Contains("already exists and is not overwritten"));
  CHECK(read_file(folder / "model/first") == "1");
  AtomicFolder other(folder / "note");
  std::ofstream(folder / "note") << "2";
  CHECK_THROWS_WITH(other.commit(), Catch::Contains("already exists and is not overwritten"));
}

TEST_CASE("a missing file is named") {
  CHECK_THROWS_WITH(read_file("/nowhere/at/all"), Catch::Contains("/nowhere/at/all"));
}

TEST_CASE("sha256 equals the published test vector") {
  CHECK(sha256_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_CASE("JSON errors carry line and column") {
  CHECK_THROWS_WITH(parse_json("{\n  \"a\": ,\n}", "x.json"), Catch::Contains("x.json:2:8"));
  CHECK_THROWS_WITH(parse_json("{\"a\": 1, \"a\": 2}", "x.json"),
                    Catch::Contains("duplicate key 'a'"));
  CHECK_THROWS_AS(parse_json(std::string(100000, '['), "x.json"), Error);
}

TEST_CASE("the nearest name is suggested only when it is near") {
  const std::vector<std::string> names{"learning_rate", "steps"};
  CHECK(nearest_name("learnin_rate", names) == "learning_rate");
  CHECK(nearest_name("zebra", names).empty());
}

TEST_CASE("temporary names are those of this program and of this file") {
  CHECK(is_temporary_name("model.tmp-12"));
  CHECK(is_temporary_name("model.old-12", "model"));
  CHECK_FALSE(is_temporary_name("model.tmp-12", "mode"));
  CHECK_FALSE(is_temporary_name("other.tmp-12", "model"));
  for (const char* name : {"model.tmp-", "model.tmp-x1", "model.tmp-1x", "model-12", "tmp-1", "-1"})
    CHECK_FALSE(is_temporary_name(name));
}

TEST_CASE("what dead processes left is removed when the same name is written again") {
  const TemporaryFolder folder;
  const std::string dead = "999999999", alive = std::to_string(::getppid());
  for (const std::string& pid : {dead, alive}) {
    write_file_atomic(folder / ("model.tmp-" + pid) / "weights", "half");
    write_file_atomic(folder / ("note.tmp-" + pid), "half");
  }
  write_file_atomic(folder / ("other.tmp-" + dead), "half");
  write_file_atomic(folder / "note", "whole");
  AtomicFolder(folder / "model").commit();
  CHECK_FALSE(fs::exists(folder / ("model.tmp-" + dead)));
  CHECK_FALSE(fs::exists(folder / ("note.tmp-" + dead)));
  CHECK(fs::exists(folder / ("other.tmp-" + dead)));
  CHECK(fs::exists(folder / ("model.tmp-" + alive)));
  CHECK(fs::exists(folder / ("note.tmp-" + alive)));
}

TEST_CASE("the only copy of a folder, left aside by a dead process, is put back") {
  const TemporaryFolder folder;
  write_file_atomic(folder / "model.old-999999999" / "weights", "whole");
  CHECK_THROWS_AS(AtomicFolder(folder / "model"), Error);
  CHECK(read_file(folder / "model" / "weights") == "whole");
}

TEST_CASE("a folder being replaced is there at every moment, old or new") {
  const TemporaryFolder folder;
  write_file_atomic(folder / "model/version", "0");
  std::atomic<bool> done = false;
  std::atomic<int> missing = 0;
  std::jthread reader([&] {
    while (!done) missing += !fs::exists(folder / "model/version");
  });
  for (int version = 1; version < 30; ++version) {
    AtomicFolder next(folder / "model", AtomicFolder::Existing::kReplace);
    write_file_atomic(next.path() / "version", std::to_string(version));
    next.commit();
  }
  done = true;
  reader.join();
  CHECK(missing == 0);
  CHECK(read_file(folder / "model/version") == "29");
  CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 1);
}
