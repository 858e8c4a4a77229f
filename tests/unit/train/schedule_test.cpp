// SPDX-License-Identifier: Apache-2.0
#include "train/schedule.h"

#include "support/catch.h"

namespace gradus {

TEST_CASE("the warm-up rises linearly and the first step already learns") {
  const ScheduleRecipe recipe{.kind = ScheduleKind::kConstant, .warmup_steps = 4};
  CHECK(learning_rate(recipe, 8.0, 0, 100) == Approx(2.0));
  CHECK(learning_rate(recipe, 8.0, 3, 100) == Approx(8.0));
  CHECK(learning_rate(recipe, 8.0, 50, 100) == Approx(8.0));
  const ScheduleRecipe by_ratio{.kind = ScheduleKind::kConstant, .warmup_ratio = 0.04};
  CHECK(learning_rate(by_ratio, 8.0, 0, 100) == Approx(2.0));
}

TEST_CASE("schedules start at the peak and end at the floor") {
  for (const auto kind : {ScheduleKind::kCosine, ScheduleKind::kLinear, ScheduleKind::kWsd}) {
    const ScheduleRecipe recipe{.kind = kind, .min_lr_ratio = 0.1};
    CHECK(learning_rate(recipe, 1.0, 0, 1000) == Approx(1.0));
    CHECK(learning_rate(recipe, 1.0, 1000, 1000) == Approx(0.1));
    for (int64_t step = 1; step < 1000; ++step)
      REQUIRE(learning_rate(recipe, 1.0, step, 1000) <= learning_rate(recipe, 1.0, step - 1, 1000));
  }
}

TEST_CASE("wsd stays at the peak until its decay") {
  const ScheduleRecipe recipe{.kind = ScheduleKind::kWsd, .min_lr_ratio = 0, .decay_ratio = 0.2};
  CHECK(learning_rate(recipe, 1.0, 79, 100) == Approx(1.0));
  CHECK(learning_rate(recipe, 1.0, 90, 100) == Approx(0.5));
}

TEST_CASE("cosine is half way down in the middle") {
  const ScheduleRecipe recipe{.kind = ScheduleKind::kCosine, .min_lr_ratio = 0};
  CHECK(learning_rate(recipe, 1.0, 50, 100) == Approx(0.5));
}

}  // namespace gradus
