// SPDX-License-Identifier: Apache-2.0
// An evaluation that is asked to stop leaves nothing behind: it ends by an error with the exit
// code of the signal.
#pragma once

#include <csignal>

#include "base/error.h"
#include "base/signals.h"

namespace gradus {

inline void throw_if_stopped() {
  if (stop_signal() == 0) return;
  throw Error({.what = "stopped; nothing was written"},
              stop_signal() == SIGTERM ? kExitTerminated : kExitInterrupted);
}

}  // namespace gradus
