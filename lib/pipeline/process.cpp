// SPDX-License-Identifier: Apache-2.0
#include "pipeline/process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>

#include "base/error.h"
#include "base/files.h"
#include "base/signals.h"

namespace gradus {
namespace {

constexpr int kCannotStart = 127;

// Between fork and exec: only calls that are safe in a signal handler.
[[noreturn]] void become(char* const* arguments, pid_t parent) {
  // A group of its own: Ctrl-C on a terminal reaches it once, through us.
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(kCannotStart);  // we died before prctl took effect
  const int nothing = ::open("/dev/null", O_RDONLY);
  if (nothing >= 0) ::dup2(nothing, STDIN_FILENO);
  ::dup2(STDERR_FILENO, STDOUT_FILENO);
  ::execv(arguments[0], arguments);
  ::_exit(kCannotStart);
}

ChildEnd end_from(int status) {
  if (WIFSIGNALED(status)) return {128 + WTERMSIG(status), WTERMSIG(status)};
  return {WEXITSTATUS(status), 0};
}

// Polling, because a signal that comes between a look at stop_signal() and waitpid() would be lost.
int wait_for(pid_t child) {
  int status = 0, pause_ms = 1;
  for (bool forwarded = false;;) {
    const pid_t got = ::waitpid(child, &status, WNOHANG);
    if (got == child) return status;
    if (got < 0 && errno != EINTR)
      throw Error(cat("cannot wait for process ", child, ": ", std::strerror(errno)));
    if (stop_signal() != 0 && !forwarded) {
      ::kill(child, stop_signal());
      forwarded = true;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(pause_ms));
    if (pause_ms < 30) ++pause_ms;
  }
}

// A zombie nobody collects has released its locks: it counts as gone.
bool is_running(int pid) {
  std::string stat;
  try {
    stat = read_file(cat("/proc/", pid, "/stat"));
  } catch (const Error&) {
    return false;
  }
  const size_t name_end = stat.rfind(')');
  return name_end == std::string::npos || name_end + 2 >= stat.size() || stat[name_end + 2] != 'Z';
}

}  // namespace

ChildEnd run_child(const std::vector<std::string>& arguments,
                   const std::function<void(int pid)>& started) {
  std::vector<char*> pointers;
  for (const std::string& argument : arguments)
    pointers.push_back(const_cast<char*>(argument.c_str()));  // execv does not write to them
  pointers.push_back(nullptr);
  if (::access(pointers[0], X_OK) != 0)
    throw Error({.what = cat("cannot be run: ", std::strerror(errno)), .where = arguments.front()});
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) throw Error(cat("cannot start a process: ", std::strerror(errno)));
  if (child == 0) become(pointers.data(), parent);
  try {
    if (started) started(child);
  } catch (...) {
    ::kill(child, SIGTERM);
    wait_for(child);
    throw;
  }
  return end_from(wait_for(child));
}

bool wait_until_gone(int pid, int timeout_ms) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  while (is_running(pid)) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return true;
}

}  // namespace gradus
