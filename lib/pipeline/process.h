// SPDX-License-Identifier: Apache-2.0
// One child process, run to its end.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace gradus {

struct ChildEnd {
  int exit_code = 0;  // 128 + signal when a signal ended it
  int signal = 0;
};

// Runs `arguments` (the program's path first) and waits. stdin is empty, stdout and stderr go to
// our stderr. SIGINT and SIGTERM to us are passed on once, and the child is waited for. The child
// is killed when this process dies, so no run outlives the pipeline that knows about it.
// `started` is called with its pid. Throws gradus::Error when it cannot be started.
ChildEnd run_child(const std::vector<std::string>& arguments,
                   const std::function<void(int pid)>& started = {});

// "pid start", where start is the kernel's time of birth: numbers are used again, this is not. ""
// when there is no such process, or it has ended and only waits to be collected.
std::string process_identity(int pid);
// Waits until that process has gone, at most `timeout_ms`; false when it is still there.
bool wait_until_gone(const std::string& identity, int timeout_ms);

}  // namespace gradus
