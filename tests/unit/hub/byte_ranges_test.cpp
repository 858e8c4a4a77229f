// SPDX-License-Identifier: Apache-2.0
#include "hub/byte_ranges.h"

#include "base/error.h"
#include "hub/parts.h"
#include "support/catch.h"

using Catch::Matchers::Contains;

namespace gradus {
namespace {

using Ranges = std::vector<ByteRange>;

TEST_CASE("ranges grow together in any order, and what is missing comes in pieces") {
  ByteRanges ranges;
  CHECK(ranges.missing(10, 4) == Ranges{{0, 4}, {4, 8}, {8, 10}});
  ranges.add({6, 8});
  ranges.add({2, 4});
  ranges.add({5, 5});
  CHECK(ranges.count() == 4);
  CHECK(ranges.missing(10, 4) == Ranges{{0, 2}, {4, 6}, {8, 10}});
  ranges.add({4, 6});
  CHECK(ranges.json() == Json::parse("[[2, 8]]"));
  ranges.add({0, 9});
  ranges.add({3, 5});
  CHECK(ranges.json() == Json::parse("[[0, 9]]"));
  CHECK(ranges.missing(9, 4).empty());
}

TEST_CASE("any order of any pieces gives the bytes that a plain mask has") {
  for (unsigned seed = 1; seed < 200; ++seed) {
    ByteRanges ranges;
    std::vector<bool> mask(40);
    unsigned state = seed * 2654435761U;
    for (int i = 0; i < 6; ++i) {
      state = state * 1664525U + 1013904223U;
      const int64_t begin = (state >> 8) % 40, end = begin + (state >> 20) % 12;
      ranges.add({begin, std::min<int64_t>(end, 40)});
      for (int64_t at = begin; at < std::min<int64_t>(end, 40); ++at) mask[size_t(at)] = true;
    }
    for (const ByteRange& range : ranges.missing(40, 3)) {
      REQUIRE(range.end - range.begin <= 3);
      for (int64_t at = range.begin; at < range.end; ++at) {
        REQUIRE(!mask[size_t(at)]);
        mask[size_t(at)] = true;
      }
    }
    CHECK(std::count(mask.begin(), mask.end(), true) == 40);
  }
}

TEST_CASE("a note that holds no ranges of the file is refused") {
  CHECK(ByteRanges::from_json(Json::parse("[[0, 3], [5, 9]]"), 9, "note").count() == 7);
  for (const char* text : {"{}", "[3]", "[[1]]", "[[3, 2]]", "[[-1, 2]]", "[[0, 10]]", "[[0, 1.5]]",
                           "[[0, 18446744073709551615]]"}) {
    INFO(text);
    CHECK_THROWS_WITH(ByteRanges::from_json(Json::parse(text), 9, "note"), Contains("note"));
  }
}

TEST_CASE("parts are few enough to ask for and many enough to share") {
  CHECK(part_bytes(1) == int64_t{4} << 20);
  CHECK(part_bytes(int64_t{1} << 30) == int64_t{16} << 20);
  CHECK(part_bytes(int64_t{1} << 40) == int64_t{64} << 20);
}

}  // namespace
}  // namespace gradus
