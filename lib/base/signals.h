// SPDX-License-Identifier: Apache-2.0
// SIGINT and SIGTERM ask long work to stop at the next safe point; a second one ends the process
// at once.
#pragma once

namespace gradus {

void install_signal_handlers();
// 0, or the number of the first signal received.
int stop_signal();
// Sets the same request from inside the program (tests, servers).
void request_stop(int signal_number);
void clear_stop_request();
// For work that leaves nothing behind: throws gradus::Error saying `what`, with the exit code of
// the signal, when a stop was asked for.
void throw_if_stopped(const char* what = "stopped; nothing was written");

}  // namespace gradus
