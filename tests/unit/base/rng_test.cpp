// SPDX-License-Identifier: Apache-2.0
#include "base/rng.h"

#include <vector>

#include "support/catch.h"

TEST_CASE("a permutation visits every index once") {
  for (const uint64_t size : {1, 2, 3, 7, 64, 1000}) {
    const gradus::Permutation permutation(size, 42, 3);
    std::vector<int> seen(size, 0);
    for (uint64_t i = 0; i < size; ++i) ++seen.at(permutation(i));
    for (const int count : seen) CHECK(count == 1);
  }
}

TEST_CASE("permutations of different streams differ") {
  const gradus::Permutation first(1000, 42, 0), second(1000, 42, 1);
  int same = 0;
  for (uint64_t i = 0; i < 1000; ++i) same += first(i) == second(i);
  CHECK(same < 20);
}

TEST_CASE("uniform numbers lie in [0, 1) with the right mean") {
  double sum = 0;
  for (uint64_t i = 0; i < 10000; ++i) {
    const double value = gradus::random_uniform(7, 0, i);
    REQUIRE((value >= 0 && value < 1));
    sum += value;
  }
  CHECK(sum / 10000 == Approx(0.5).margin(0.02));
}
