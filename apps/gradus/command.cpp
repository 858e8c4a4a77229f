// SPDX-License-Identifier: Apache-2.0
#include "command.h"

#include <algorithm>
#include <iostream>

#include "base/error.h"

namespace gradus {
namespace {

const Flag& find_flag(const std::vector<Flag>& flags, const std::string& name) {
  for (const Flag& flag : flags) {
    if (flag.name == name) return flag;
  }
  std::vector<std::string> names;
  for (const Flag& flag : flags) names.push_back(flag.name);
  const std::string near = nearest_name(name, names);
  throw UsageError("unknown option " + printable(name),
                   near.empty() ? "see --help" : "did you mean " + near + "?");
}

// "key=value" or "key+=value" where the key looks like a recipe key; a path such as ./a=b is
// positional.
bool is_override(const std::string& argument) {
  const size_t equals = argument.find('=');
  if (equals == std::string::npos || equals == 0) return false;
  const size_t end = argument[equals - 1] == '+' ? equals - 1 : equals;
  return std::all_of(
      argument.begin(), argument.begin() + static_cast<std::ptrdiff_t>(end),
      [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '.' || c == '-'; });
}

}  // namespace

CommandLine::CommandLine(std::vector<std::string> arguments, const std::vector<Flag>& flags) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument.empty()) throw UsageError("an argument is empty");
    if (argument.size() < 2 || argument[0] != '-') {
      (is_override(argument) ? overrides_ : positional_).push_back(argument);
      continue;
    }
    const size_t equals = argument.find('=');
    const Flag& flag = find_flag(flags, argument.substr(0, equals));
    std::string value;
    if (!flag.value.empty() && equals != std::string::npos) {
      value = argument.substr(equals + 1);
    } else if (!flag.value.empty()) {
      if (++i >= arguments.size()) throw UsageError(flag.name + " needs a value: " + flag.value);
      value = arguments[i];
      if (value.empty()) throw UsageError(flag.name + " is empty");
    } else if (equals != std::string::npos) {
      throw UsageError(flag.name + " takes no value");
    }
    if (has(flag.name)) throw UsageError(flag.name + " was given twice");
    flags_.emplace_back(flag.name, value);
  }
}

bool CommandLine::has(const std::string& flag) const {
  return std::any_of(flags_.begin(), flags_.end(),
                     [&](const auto& given) { return given.first == flag; });
}

std::string CommandLine::get(const std::string& flag, const std::string& fallback) const {
  for (const auto& [name, value] : flags_) {
    if (name == flag) return value;
  }
  return fallback;
}

std::string CommandLine::require(const std::string& flag) const {
  if (!has(flag)) throw UsageError(flag + " is required", "see --help");
  return get(flag);
}

std::string CommandLine::one_of(const std::string& flag, const std::vector<std::string>& names,
                                const std::string& fallback) const {
  if (!has(flag)) return fallback;
  const std::string value = get(flag);
  if (std::find(names.begin(), names.end(), value) != names.end()) return value;
  std::string known;
  for (const std::string& name : names) {
    known += (known.empty() ? "" : &name == &names.back() ? " or " : ", ") + name;
  }
  throw UsageError(cat(flag, " is ", known, ", not ", printable(value)));
}

const std::string& CommandLine::only(const std::string& what) const {
  if (positional_.empty()) throw UsageError("missing argument: " + what, "see --help");
  if (positional_.size() > 1)
    throw UsageError("too many arguments: " + printable(positional_[1]), "expected only " + what);
  return positional_[0];
}

void check_arguments(const Command& command, const std::vector<Flag>& flags,
                     const CommandLine& line) {
  if (command.arguments == Arguments::kRecipe) return;
  if (!line.overrides().empty()) {
    const std::string& given = line.overrides().front();
    const std::string flag = "--" + given.substr(0, given.find_first_of("+="));
    const bool known = std::any_of(flags.begin(), flags.end(),
                                   [&](const Flag& other) { return other.name == flag; });
    throw UsageError(cat("gradus ", command.name, " has no recipe: ", printable(given)),
                     known ? cat("write ", flag, " ", given.substr(given.find('=') + 1))
                           : "./ before a file whose name holds an equals sign");
  }
  const size_t most = static_cast<size_t>(command.arguments);
  if (line.positional().size() > most)
    throw UsageError("too many arguments: " + printable(line.positional()[most]), "see --help");
}

std::vector<Flag> common_flags() {
  return {{"--help", "", "print this help"},
          {"--json", "", "print the result as one JSON document on stdout"},
          {"--quiet", "", "log warnings and errors only"},
          {"--verbose", "", "log more"},
          {"--log-format", "text|json", "format of the log on stderr"}};
}

std::vector<Flag> recipe_flags() {
  return {{"--check", "", "validate the recipe and its inputs, then stop"},
          {"--print-config", "", "print the resolved recipe as YAML, then stop"},
          {"--schema", "", "print the recipe's JSON Schema, then stop"}};
}

bool print_json_if_asked(const CommandLine& line, const Json& value) {
  if (!line.has("--json")) return false;
  std::cout << value.dump(2, ' ', false, Json::error_handler_t::replace) << "\n";
  return true;
}

}  // namespace gradus
