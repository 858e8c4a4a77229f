// SPDX-License-Identifier: Apache-2.0
// Errors that the user can act on, and the program's exit codes.
//
// A user's fault is a gradus::Error: what went wrong, where (file:line, key, tensor), what was
// expected, what was found, and a hint. Our own fault is any other exception. Library code never
// aborts or exits; only main() and the server's request handler catch.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

namespace gradus {

enum ExitCode : int {
  kExitOk = 0,
  kExitUserError = 1,
  kExitUsage = 2,
  kExitInternal = 3,
  kExitGateRefused = 4,
  kExitInterrupted = 130,
  kExitTerminated = 143,
};

// The parts of one error line; empty parts are left out.
struct ErrorParts {
  std::string what = {};      // "tensor has the wrong shape"
  std::string where = {};     // "model.safetensors: model.norm.weight"
  std::string expected = {};  // "[576]"
  std::string found = {};     // "[512]"
  std::string hint = {};      // "is config.json from the same model?"
};

// what() is one line: "where: what (expected E, found F); hint: H".
class Error : public std::runtime_error {
 public:
  explicit Error(ErrorParts parts, ExitCode code = kExitUserError);
  explicit Error(const std::string& what) : Error(ErrorParts{.what = what}) {}

  const ErrorParts& parts() const { return parts_; }
  ExitCode code() const { return code_; }

 private:
  ErrorParts parts_;
  ExitCode code_;
};

// A command line that cannot be understood; exit code 2.
class UsageError : public Error {
 public:
  explicit UsageError(const std::string& what, const std::string& hint = {})
      : Error({.what = what, .hint = hint}, kExitUsage) {}
};

// The text of all arguments, streamed one after the other.
template <class... Parts>
std::string cat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

// Text from outside, safe to print on one line: control characters and bytes that are no UTF-8
// escaped, cut to `limit` bytes of `text`.
std::string printable(std::string_view text, size_t limit = 80);

// The entry of `names` closest to `name` in edit distance, or "" when none is close.
template <class Names>
std::string nearest_name(std::string_view name, const Names& names);

size_t edit_distance(std::string_view a, std::string_view b);

template <class Names>
std::string nearest_name(std::string_view name, const Names& names) {
  std::string best;
  size_t best_distance = name.size() / 3 + 2;
  for (const auto& candidate : names) {
    const size_t distance = edit_distance(name, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace gradus
