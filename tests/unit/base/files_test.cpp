// SPDX-License-Identifier: Apache-2.0
#include "base/files.h"

#include <catch2/catch.hpp>

#include "base/error.h"
#include "base/hash.h"
#include "base/json.h"
#include "support/temporary_folder.h"

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
