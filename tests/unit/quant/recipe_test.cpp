// SPDX-License-Identifier: Apache-2.0
#include "quant/recipe.h"

#include "base/error.h"
#include "support/catch.h"

using namespace gradus;

TEST_CASE("a group size is for int4 only") {
  const auto parse = [](const std::string& more) {
    return parse_recipe<QuantizeRecipe>("model: /\nout: out\n" + more, "r.yaml");
  };
  CHECK(parse("scheme: int4\ngroup_size: 32\n").group_size == 32);
  CHECK_NOTHROW(parse("scheme: int8\n"));
  CHECK_THROWS_WITH(parse("scheme: int8\ngroup_size: 32\n"),
                    Catch::Contains("group_size: has no effect"));
  CHECK_THROWS_WITH(parse("group_size: 12\n"), Catch::Contains("multiple of 8"));
}
