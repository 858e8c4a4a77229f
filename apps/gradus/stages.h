// SPDX-License-Identifier: Apache-2.0
// The commands that can be stages of a pipeline.
#pragma once

#include <vector>

#include "pipeline/stage_command.h"

namespace gradus {

std::vector<StageCommand> stage_commands();

}  // namespace gradus
