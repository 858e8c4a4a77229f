// SPDX-License-Identifier: Apache-2.0
// What the benchmarks share: options, clocks, the Python peers' JSON line, the model.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/json.h"
#include "base/temporary_folder.h"

namespace gradus::bench {

struct Options {
  std::string model;   // a Hugging Face folder; empty: the quickstart's L0 file is imported
  std::string python;  // of the peers; empty: without them
  int rounds = 5;
};

// NAME [--quick] [--model DIR] [PYTHON]; the default Python is the one that `make test` sets up.
Options read_options(int argc, char** argv, int rounds);

// The last line that bench/peers/SCRIPT prints, as JSON. Throws gradus::Error when it fails.
Json peer(const Options& options, const std::string& script, const std::string& arguments);

// Seconds that a command of a shell takes, output thrown away. Throws when it fails.
double command_seconds(const std::string& command);

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start);

// Seconds of every call, shortest first: of as many as fit in `budget` seconds, `least` at least,
// after one that is not measured.
std::vector<double> call_seconds(double budget, size_t least, const std::function<void()>& call);

double median(std::vector<double> values);

// The last line of a benchmark.
void print_report(const Json& report);

// options.model, or the quickstart's L0 imported as bf16 below `folder`.
fs::path bf16_model(const Options& options, const TemporaryFolder& folder);

// The main function of a benchmark: options and `run`, which prints the report; errors go to
// stderr.
int run_main(int argc, char** argv, int rounds, const std::function<void(const Options&)>& run);
// The same for one that only knows --quick.
int run_main(int argc, char** argv, void (*run)(bool quick));

}  // namespace gradus::bench
