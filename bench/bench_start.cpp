// SPDX-License-Identifier: Apache-2.0
// How long until work can begin, in whole processes: `gradus --help`, and a process that loads a
// model in bf16 and computes one token, beside Python that imports transformers and does the same.
// The programs take turns after one unmeasured round; medians count.
//   bench_start [--quick] [--model DIR] [PYTHON]      the last line is one JSON document
#include <cstdio>

#include "base/error.h"
#include "base/system.h"
#include "bench_support.h"
#include "infer/pass.h"
#include "model/folder.h"
#include "tensor/device.h"

namespace gradus {
namespace {

int load_once(const char* folder) {
  set_compute_threads(0);
  const Transformer model = load_model(folder, {.dtype = at::kBFloat16});
  KvCache cache(model.config(), {.slots = 1, .capacity = 1}, model.dtype(), model.device());
  const at::Tensor logits = run_pass(model, cache, {{.slot = 0, .past = 0, .ids = {1}}});
  return logits.numel() == model.config().vocab_size ? 0 : 1;
}

void run(const bench::Options& options) {
  const TemporaryFolder folder;
  const fs::path model = bench::bf16_model(options, folder);
  const fs::path self = fs::read_symlink("/proc/self/exe");
  const std::string ours = cat("'", self.string(), "' --child '", model.string(), "'");
  const std::string theirs = cat("'", options.python, "' '", GRADUS_SOURCE_DIR,
                                 "/bench/peers/load_transformers.py' '", model.string(), "'");
  const std::string help = cat("'", GRADUS_BINARY, "' --help");
  std::vector<double> help_seconds, our_seconds, their_seconds;
  for (int round = 0; round <= options.rounds; ++round) {
    const double first = bench::command_seconds(help), second = bench::command_seconds(ours);
    const double third = options.python.empty() ? 0 : bench::command_seconds(theirs);
    if (round == 0) continue;  // fills the page cache for all of them
    help_seconds.push_back(first);
    our_seconds.push_back(second);
    their_seconds.push_back(third);
  }
  Json report{{"bench", "start"},
              {"help_seconds", bench::median(help_seconds)},
              {"load_seconds", bench::median(our_seconds)}};
  if (!options.python.empty()) {
    report["transformers_load_seconds"] = bench::median(their_seconds);
    report["load_ratio"] = bench::median(their_seconds) / bench::median(our_seconds);
  }
  bench::print_report(report);
}

}  // namespace
}  // namespace gradus

int main(int argc, char** argv) {
  if (argc == 3 && std::string(argv[1]) == "--child") return gradus::load_once(argv[2]);
  return gradus::bench::run_main(argc, argv, 5, gradus::run);
}
