// SPDX-License-Identifier: Apache-2.0
// gradus: the command table, the options that all commands share, and the only place where errors
// become exit codes.
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <iostream>
#include <new>

#include "base/error.h"
#include "base/log.h"
#include "base/signals.h"
#include "base/system.h"
#include "commands.h"

namespace gradus {
namespace {

std::vector<Command> command_table() {
  return {pretrain_continue_command(),
          sft_command(),
          distill_command(),
          quantize_command(),
          eval_command(),
          compare_command(),
          model_fetch_command(),
          model_import_command(),
          model_convert_command(),
          model_inspect_command(),
          model_diff_command(),
          model_verify_command(),
          model_forward_command(),
          model_merge_command(),
          model_families_command(),
          model_formats_command(),
          tokenizer_encode_command(),
          tokenizer_decode_command(),
          tokenizer_chat_command(),
          serve_command(),
          run_command(),
          store_digest_command(),
          store_verify_command(),
          store_lineage_command(),
          doctor_command()};
}

// The commands whose names begin with `prefix`, one a line.
std::string listed(const std::vector<Command>& commands, const std::string& prefix) {
  std::string text;
  for (const Command& command : commands) {
    std::string name = command.name;
    if (!name.starts_with(prefix)) continue;
    name.resize(std::max<size_t>(name.size() + 1, 20), ' ');
    text += "  " + name + command.summary + "\n";
  }
  return text;
}

std::string overview(const std::vector<Command>& commands) {
  return "gradus carries a language model from a general base (L0) over an industry model (L1)\n"
         "to a small task model (L2).\n\nUsage: gradus <command> [arguments] [key=value "
         "…]\n\nCommands:\n" +
         listed(commands, "") +
         "\n'gradus <command> --help' explains a command. 'gradus --version' prints the version.\n";
}

// "model --help": the commands of a group; nothing where the words ask for something else.
std::string group_help(const std::vector<Command>& commands,
                       const std::vector<std::string>& words) {
  if (words.size() != 2 || (words[1] != "--help" && words[1] != "-h")) return "";
  const std::string list = listed(commands, words[0] + " ");
  return list.empty() ? "" : "Commands:\n" + list;
}

std::string help_of(const Command& command, const std::vector<Flag>& flags) {
  std::string text = cat("gradus ", command.name, ": ", command.summary, "\n\nUsage: gradus ",
                         command.name, " ", command.usage, "\n\nOptions:\n");
  for (const Flag& flag : flags) {
    std::string name = flag.name + (flag.value.empty() ? "" : " " + flag.value);
    name.resize(std::max<size_t>(name.size() + 2, 26), ' ');
    text += "  " + name + flag.help + "\n";
  }
  const std::string details = command.details ? command.details() : "";
  return details.empty() ? text : text + "\n" + details;
}

// The command that the first one or two words name ("model import" before "model").
const Command& find_command(const std::vector<Command>& commands, std::vector<std::string>& words) {
  for (const size_t count : {size_t{2}, size_t{1}}) {
    if (words.size() < count) continue;
    const std::string name = count == 2 ? words[0] + " " + words[1] : words[0];
    for (const Command& command : commands) {
      if (name != command.name) continue;
      words.erase(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(count));
      return command;
    }
  }
  std::vector<std::string> names, family;
  for (const Command& command : commands) {
    const std::string name = command.name;
    names.push_back(name);
    if (name.rfind(words[0] + " ", 0) == 0) family.push_back(name.substr(words[0].size() + 1));
  }
  if (!family.empty()) {
    std::string list;
    for (const std::string& member : family) list += (list.empty() ? "" : ", ") + member;
    if (words.size() < 2 || words[1].starts_with("-"))
      throw UsageError("gradus " + words[0] + " needs one of: " + list);
    const std::string near = nearest_name(words[1], family);
    throw UsageError(
        "unknown command '" + printable(words[0] + " " + words[1]) + "'",
        near.empty() ? "one of " + list : "did you mean " + words[0] + " " + near + "?");
  }
  const std::string near = nearest_name(words[0], names);
  throw UsageError("unknown command '" + printable(words[0]) + "'",
                   near.empty() ? "see gradus --help" : "did you mean " + near + "?");
}

void apply_log_flags(const CommandLine& line) {
  if (line.has("--quiet")) set_log_level(LogLevel::kWarning);
  if (line.has("--verbose")) set_log_level(LogLevel::kDebug);
  if (line.one_of("--log-format", {"text", "json"}, "text") == "json")
    set_log_format(LogFormat::kJson);
}

int run(std::vector<std::string> words) {
  const std::vector<Command> commands = command_table();
  const bool help =
      !words.empty() && (words[0] == "--help" || words[0] == "help" || words[0] == "-h");
  if (words.empty() || (help && words.size() == 1)) {
    std::cout << overview(commands);
    return words.empty() ? kExitUsage : kExitOk;
  }
  if (help) {  // "help model import"
    std::rotate(words.begin(), words.begin() + 1, words.end());
    words.back() = "--help";
  }
  if (words[0] == "--version") {
    std::cout << "gradus " << program_version() << "\n";
    return kExitOk;
  }
  const std::string group = group_help(commands, words);
  if (!group.empty()) {
    std::cout << group;
    return kExitOk;
  }
  const Command& command = find_command(commands, words);
  std::vector<Flag> flags = command.flags ? command.flags() : std::vector<Flag>{};
  for (Flag& flag : common_flags()) flags.push_back(std::move(flag));
  const CommandLine line(words, flags);
  if (line.has("--help")) {
    std::cout << help_of(command, flags);
    return kExitOk;
  }
  apply_log_flags(line);
  check_arguments(command, flags, line);
  return command.run(line);
}

std::string out_of_memory_text() {
  return cat("out of memory (", human_bytes(available_memory_bytes()),
             " available); hint: see gradus doctor");
}

// The last line of a failed command, in the format of the log.
void report(const std::string& command, const char* kind, const std::string& message) {
  if (log_format() == LogFormat::kJson)
    log_error(command.c_str(), kind == std::string("error") ? message : cat(kind, ": ", message));
  else
    std::fprintf(stderr, "%s: %s: %s\n", command.c_str(), kind, message.c_str());
}

int guarded(const std::vector<std::string>& words) {
  const std::string command = words.empty() ? "gradus" : "gradus " + printable(words[0]);
  try {
    const int code = run(words);
    errno = 0;
    std::cout.flush();
    if (!std::cout && errno == EPIPE) return code;  // the reader has had enough
    if (!std::cout)
      throw Error({.what = "cannot write the result", .where = std::string("stdout")});
    return code;
  } catch (const Error& error) {
    report(command, "error", error.what());
    return error.code();
  } catch (const std::filesystem::filesystem_error& error) {
    const std::string path = error.path1().empty() ? "" : error.path1().string() + ": ";
    report(command, "error", printable(path, 1000) + error.code().message());
    return kExitUserError;
  } catch (const std::bad_alloc&) {
    report(command, "error", out_of_memory_text());
    return kExitUserError;
  } catch (const std::exception& error) {
    const std::string text = error.what();  // libtorch appends a backtrace after the first line
    // libtorch's own allocator has no exception of its own for this.
    const bool no_memory = text.find("not enough memory: you tried to allocate") != text.npos ||
                           text.find("out of memory. Tried to allocate") != text.npos;
    report(command, no_memory ? "error" : "internal error",
           no_memory ? out_of_memory_text() : text.substr(0, text.find('\n')));
    return no_memory ? kExitUserError : kExitInternal;
  }
}

}  // namespace
}  // namespace gradus

int main(int count, char** arguments) {
  gradus::install_signal_handlers();
  gradus::keep_freed_memory();
  return gradus::guarded(std::vector<std::string>(arguments + 1, arguments + count));
}
