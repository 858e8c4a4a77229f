// SPDX-License-Identifier: Apache-2.0
// The learning rate of a step, as a pure function: nothing to save, nothing to restore.
#pragma once

#include <cstdint>

#include "train/recipe.h"

namespace gradus {

// The rate of optimizer step `step` (from 0) of `steps`. Warm-up rises linearly and reaches the
// peak at its last step, so that the first step already learns. Then, with p from 0 to 1 over the
// rest: constant; linear 1 - p; cosine (1 + cos πp)/2; wsd stays at the peak and falls linearly
// over the last decay_ratio of all steps (Hu et al. 2024). All but constant end at
// min_lr_ratio · lr.
double learning_rate(const ScheduleRecipe& schedule, double peak, int64_t step, int64_t steps);

}  // namespace gradus
