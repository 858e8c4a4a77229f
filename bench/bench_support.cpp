// SPDX-License-Identifier: Apache-2.0
#include "bench_support.h"

#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

#include "base/error.h"
#include "model/gguf/import.h"

namespace gradus::bench {
namespace {

constexpr const char* kL0File = GRADUS_SOURCE_DIR "/.cache/l0/SmolLM2-135M-Instruct.Q4_1.gguf";
constexpr const char* kPython = GRADUS_SOURCE_DIR "/.venv-test/bin/python";

std::string quoted(const std::string& text) { return "'" + text + "'"; }

std::string last_line_of(const std::string& command) {
  std::FILE* pipe = ::popen(command.c_str(), "r");
  if (!pipe) throw Error("cannot run: " + command);
  std::array<char, 4096> line{};
  std::string text;
  while (std::fgets(line.data(), line.size(), pipe)) text = line.data();
  if (::pclose(pipe) != 0) throw Error("failed: " + command);
  return text;
}

int guarded(const char* program, const std::function<void()>& run) {
  try {
    run();
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", fs::path(program).filename().c_str(), error.what());
    return 1;
  }
}

}  // namespace

Options read_options(int argc, char** argv, int rounds) {
  Options options{.model = {}, .python = fs::exists(kPython) ? kPython : "", .rounds = rounds};
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--quick") {
      options.rounds = 1;
    } else if (word == "--model" && i + 1 < argc) {
      options.model = argv[++i];
    } else if (word.rfind("--", 0) == 0) {
      throw UsageError("unknown option " + word);
    } else {
      options.python = word;
    }
  }
  return options;
}

Json peer(const Options& options, const std::string& script, const std::string& arguments) {
  const std::string path = cat(GRADUS_SOURCE_DIR, "/bench/peers/", script);
  const TemporaryFolder folder;
  const fs::path errors = folder.path() / "errors";
  try {
    return parse_json(last_line_of(cat(quoted(options.python), " ", quoted(path), " ", arguments,
                                       " 2>", quoted(errors))),
                      script);
  } catch (const Error& error) {
    throw Error(cat(error.what(), "\n", read_file(errors)));
  }
}

double command_seconds(const std::string& command) {
  const auto start = Clock::now();
  const int status = std::system((command + " >/dev/null 2>&1").c_str());
  const double seconds = seconds_since(start);
  if (status != 0) throw Error("failed: " + command);
  return seconds;
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::vector<double> call_seconds(double budget, size_t least, const std::function<void()>& call) {
  constexpr size_t kMost = 100000;
  call();
  std::vector<double> times;
  const auto start = Clock::now();
  while (times.size() < least || (times.size() < kMost && seconds_since(start) < budget)) {
    const auto before = Clock::now();
    call();
    times.push_back(seconds_since(before));
  }
  std::sort(times.begin(), times.end());
  return times;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

void print_report(const Json& report) { std::printf("%s\n", report.dump().c_str()); }

fs::path bf16_model(const Options& options, const TemporaryFolder& folder) {
  if (!options.model.empty()) return options.model;
  const fs::path model = folder.path() / "bf16";
  import_gguf(kL0File, model, "bfloat16");
  return model;
}

int run_main(int argc, char** argv, int rounds, const std::function<void(const Options&)>& run) {
  return guarded(argv[0], [&] { run(read_options(argc, argv, rounds)); });
}

int run_main(int argc, char** argv, void (*run)(bool quick)) {
  return guarded(argv[0], [&] {
    const bool quick = argc > 1 && std::string(argv[1]) == "--quick";
    if (argc > (quick ? 2 : 1)) throw UsageError(cat("unknown option ", argv[quick ? 2 : 1]));
    run(quick);
  });
}

}  // namespace gradus::bench
