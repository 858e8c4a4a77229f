// SPDX-License-Identifier: Apache-2.0
#include "pipeline/process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstring>
#include <sstream>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "base/signals.h"

namespace gradus {
namespace {

constexpr int kCannotStart = 127;

// Between fork and exec: only calls that are safe in a signal handler.
[[noreturn]] void become(char* const* arguments, pid_t parent, int report) {
  // A group of its own: Ctrl-C on a terminal reaches it once, through us.
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(kCannotStart);  // we died before prctl took effect
  const int nothing = ::open("/dev/null", O_RDONLY);
  if (nothing >= 0) ::dup2(nothing, STDIN_FILENO);
  ::dup2(STDERR_FILENO, STDOUT_FILENO);
  ::execv(arguments[0], arguments);
  const int code = errno;
  [[maybe_unused]] const ssize_t sent = ::write(report, &code, sizeof code);
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

// A pipe that tells whether exec worked: it closes by itself when it did.
struct StartPipe {
  int ends[2] = {-1, -1};
  StartPipe() {
    if (::pipe2(ends, O_CLOEXEC) != 0)
      throw Error(cat("cannot start a process: ", std::strerror(errno)));
  }
  ~StartPipe() {
    close_end(0);
    close_end(1);
  }
  StartPipe(const StartPipe&) = delete;
  StartPipe& operator=(const StartPipe&) = delete;
  void close_end(int which) {
    if (ends[which] >= 0) ::close(std::exchange(ends[which], -1));
  }
  // The errno of a failed exec, else 0.
  int wait() {
    close_end(1);
    int code = 0;
    while (::read(ends[0], &code, sizeof code) < 0 && errno == EINTR) {
    }
    return code;
  }
};

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
  StartPipe pipe;
  const pid_t child = ::fork();
  if (child < 0) throw Error(cat("cannot start a process: ", std::strerror(errno)));
  if (child == 0) become(pointers.data(), parent, pipe.ends[1]);
  if (const int code = pipe.wait(); code != 0) {
    wait_for(child);
    throw Error({.what = cat("cannot be run: ", std::strerror(code)), .where = arguments.front()});
  }
  try {
    if (started) started(child);
  } catch (...) {
    ::kill(child, SIGTERM);
    wait_for(child);
    throw;
  }
  return end_from(wait_for(child));
}

std::string process_identity(int pid) {
  std::string stat;
  try {
    stat = read_file(cat("/proc/", pid, "/stat"));
  } catch (const Error&) {
    return "";
  }
  // proc(5): the name, in brackets, may hold spaces; behind it the state is 3rd, the start 22nd.
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return "";
  std::istringstream rest(stat.substr(name_end + 1));
  std::vector<std::string> fields;
  for (std::string field; rest >> field;) fields.push_back(field);
  // A zombie nobody collects has released its locks: it counts as gone.
  if (fields.size() < 20 || fields[0] == "Z" || fields[0] == "X") return "";
  return cat(pid, " ", fields[19]);
}

bool wait_until_gone(const std::string& identity, int timeout_ms) {
  int pid = 0;
  std::from_chars(identity.data(), identity.data() + identity.size(), pid);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  while (pid > 0 && process_identity(pid) == identity) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return true;
}

}  // namespace gradus
