// SPDX-License-Identifier: Apache-2.0
// How long a model's weights take to load, beside a plain read of the same bytes into new memory
// and beside Python's safetensors with transformers. Each load is a process of its own, in turn,
// the page cache warm; medians count. Peak memory is what a process holds beyond an empty one, over
// the model's own size.
//   bench_load [--quick] [--model DIR] [PYTHON]      the last line is one JSON document
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

#include "base/error.h"
#include "bench_support.h"
#include "model/folder.h"

namespace gradus {
namespace {

int64_t peak_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss * 1024;
}

int64_t weight_bytes(const fs::path& folder) {
  const SafetensorsFolder files(folder);
  int64_t bytes = 0;
  for (const auto& file : files.files()) bytes += static_cast<int64_t>(fs::file_size(file->path()));
  return bytes;
}

// Loads in the stored precision and prints what it took.
int load_child(const fs::path& folder) {
  const int64_t before = peak_bytes();
  const auto start = bench::Clock::now();
  const Transformer model = load_model(folder, {});
  const double seconds = bench::seconds_since(start);
  bench::print_report(
      {{"seconds", seconds}, {"bytes", peak_bytes() - before}, {"layers", model.layers().size()}});
  return 0;
}

// Reads the files' bytes into memory that is new, as a loader has to.
int read_child(const fs::path& folder) {
  const auto start = bench::Clock::now();
  const SafetensorsFolder files(folder);
  for (const auto& file : files.files()) {
    const auto size = static_cast<size_t>(fs::file_size(file->path()));
    const std::unique_ptr<std::byte[]> memory(new std::byte[size]);
    const int descriptor = ::open(file->path().c_str(), O_RDONLY);
    for (size_t at = 0; at < size;) {
      const ssize_t got = ::pread(descriptor, memory.get() + at, size - at, static_cast<off_t>(at));
      if (got <= 0) return 1;
      at += static_cast<size_t>(got);
    }
    ::close(descriptor);
  }
  bench::print_report({{"seconds", bench::seconds_since(start)}});
  return 0;
}

Json child(const std::string& mode, const fs::path& model, const TemporaryFolder& folder) {
  const fs::path out = folder.path() / "child";
  const std::string self = fs::read_symlink("/proc/self/exe").string();
  const std::string command =
      cat("'", self, "' ", mode, " '", model.string(), "' > '", out.string(), "' 2>/dev/null");
  if (std::system(command.c_str()) != 0) throw Error("the child process failed: " + mode);
  return read_json(out);
}

void run(const bench::Options& options) {
  const TemporaryFolder folder;
  const fs::path model = bench::bf16_model(options, folder);
  std::vector<double> read, load, peak, theirs;
  for (int round = 0; round <= options.rounds; ++round) {
    const Json reading = child("--read", model, folder), loading = child("--load", model, folder);
    const double peer_seconds =
        options.python.empty() ? 0
                               : bench::peer(options, "load_weights.py", "'" + model.string() + "'")
                                     .at("seconds")
                                     .get<double>();
    if (round == 0) continue;  // fills the page cache for all of them
    read.push_back(reading.at("seconds"));
    load.push_back(loading.at("seconds"));
    peak.push_back(loading.at("bytes"));
    theirs.push_back(peer_seconds);
  }
  const auto bytes = static_cast<double>(weight_bytes(model));
  Json report{{"bench", "load"},
              {"gigabytes", bytes / 1e9},
              {"read_seconds", bench::median(read)},
              {"load_seconds", bench::median(load)},
              {"load_over_read", bench::median(load) / bench::median(read)},
              {"peak_over_model", bench::median(peak) / bytes}};
  if (!options.python.empty()) {
    report["transformers_seconds"] = bench::median(theirs);
    report["load_ratio"] = bench::median(theirs) / bench::median(load);
  }
  bench::print_report(report);
}

}  // namespace
}  // namespace gradus

int main(int argc, char** argv) {
  if (argc == 3 && std::string(argv[1]) == "--load") return gradus::load_child(argv[2]);
  if (argc == 3 && std::string(argv[1]) == "--read") return gradus::read_child(argv[2]);
  return gradus::bench::run_main(argc, argv, 5, gradus::run);
}
