// SPDX-License-Identifier: Apache-2.0
#include "train/schedule.h"

#include <algorithm>
#include <cmath>

namespace gradus {
namespace {

int64_t warmup_steps(const ScheduleRecipe& schedule, int64_t steps) {
  if (schedule.warmup_steps) return *schedule.warmup_steps;
  return std::llround(schedule.warmup_ratio.value_or(0.0) * static_cast<double>(steps));
}

// 1 at the start of the decay, 0 at its end.
double remaining(const ScheduleRecipe& schedule, int64_t step, int64_t warmup, int64_t steps) {
  const auto part = [&](int64_t first) {
    return std::clamp(static_cast<double>(step - first) /
                          static_cast<double>(std::max<int64_t>(1, steps - first)),
                      0.0, 1.0);
  };
  switch (schedule.kind) {
    case ScheduleKind::kConstant:
      return 1.0;
    case ScheduleKind::kLinear:
      return 1.0 - part(warmup);
    case ScheduleKind::kCosine:
      return 0.5 * (1.0 + std::cos(M_PI * part(warmup)));
    case ScheduleKind::kWsd: {
      const auto decay =
          std::llround(schedule.decay_ratio_or_default() * static_cast<double>(steps));
      return 1.0 - part(std::max<int64_t>(warmup, steps - decay));
    }
  }
  return 1.0;
}

}  // namespace

double learning_rate(const ScheduleRecipe& schedule, double peak, int64_t step, int64_t steps) {
  const int64_t warmup = warmup_steps(schedule, steps);
  if (step < warmup) return peak * static_cast<double>(step + 1) / static_cast<double>(warmup);
  const double floor = schedule.min_lr_ratio;
  return peak * (floor + (1.0 - floor) * remaining(schedule, step, warmup, steps));
}

}  // namespace gradus
