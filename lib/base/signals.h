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

}  // namespace gradus
