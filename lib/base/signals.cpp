// SPDX-License-Identifier: Apache-2.0
#include "base/signals.h"

#include <unistd.h>

#include <csignal>

#include "base/error.h"

namespace gradus {
namespace {

volatile std::sig_atomic_t g_signal = 0;

void on_signal(int number) {
  if (g_signal != 0) ::_exit(128 + number);
  g_signal = number;
}

}  // namespace

void install_signal_handlers() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

int stop_signal() { return g_signal; }
void request_stop(int signal_number) { g_signal = signal_number; }
void clear_stop_request() { g_signal = 0; }

void throw_if_stopped(const char* what) {
  if (g_signal == 0) return;
  throw Error({.what = what}, g_signal == SIGTERM ? kExitTerminated : kExitInterrupted);
}

}  // namespace gradus
