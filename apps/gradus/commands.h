// SPDX-License-Identifier: Apache-2.0
// Every command, one file each: cmd_<name>.cpp. main.cpp lists them in its table.
#pragma once

#include "command.h"

namespace gradus {

Command doctor_command();

}  // namespace gradus
