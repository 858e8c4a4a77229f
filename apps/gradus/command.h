// SPDX-License-Identifier: Apache-2.0
// What a command is, and the command-line parts that all commands share.
//
//   gradus <command> [recipe.yaml] [key=value …] [--flag [value] …]
//
// A command is a function from its arguments to an exit code; main.cpp holds the table. Results
// go to stdout, logs to stderr. Errors are thrown; main() prints them as one line each.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"

namespace gradus {

// One --flag of a command. `value` names its argument in --help; empty means a plain switch.
struct Flag {
  std::string name;   // "--out"
  std::string value;  // "DIR" or ""
  std::string help;
};

// Arguments split by kind. Flags that the command did not declare are a UsageError with the
// nearest name; every declared flag given is kept.
class CommandLine {
 public:
  CommandLine(std::vector<std::string> arguments, const std::vector<Flag>& flags);

  const std::vector<std::string>& positional() const { return positional_; }  // in order
  const std::vector<std::string>& overrides() const { return overrides_; }    // key=value
  bool has(const std::string& flag) const;
  // The value of a flag given at most once; `fallback` when absent.
  std::string get(const std::string& flag, const std::string& fallback = {}) const;
  std::string require(const std::string& flag) const;  // UsageError when absent
  // The value of a flag that is one of `names`; UsageError for another.
  std::string one_of(const std::string& flag, const std::vector<std::string>& names,
                     const std::string& fallback = {}) const;
  // The only positional argument; UsageError saying what is expected otherwise.
  const std::string& only(const std::string& what) const;

 private:
  std::vector<std::string> positional_, overrides_;
  std::vector<std::pair<std::string, std::string>> flags_;
};

// The values of --dtype.
inline const std::vector<std::string> kDtypeNames = {"float32", "bfloat16", "float16"};

// What stands on the command line besides flags.
enum class Arguments : size_t {
  kNone = 0,
  kOne = 1,
  kTwo = 2,
  kRecipe
};  // kRecipe: files or folders, and key=value

struct Command {
  const char* name;     // "sft", or "model import" for a sub-command
  const char* summary;  // one line of `gradus --help`
  const char* usage;    // "recipe.yaml [key=value …]"
  std::vector<Flag> (*flags)();
  std::string (*details)();  // the rest of --help: recipe keys, examples
  int (*run)(const CommandLine&);
  Arguments arguments = Arguments::kRecipe;
};
// Throws UsageError for arguments that the command would not look at.
void check_arguments(const Command& command, const std::vector<Flag>& flags,
                     const CommandLine& line);

// The flags every command has: --help, --json, --quiet, --verbose, --log-format text|json.
std::vector<Flag> common_flags();
// The flags of commands that take a recipe: --check, --print-config, --schema.
std::vector<Flag> recipe_flags();

// Prints `value` on stdout as the one machine-readable result when --json was given.
bool print_json_if_asked(const CommandLine& line, const Json& value);

}  // namespace gradus
