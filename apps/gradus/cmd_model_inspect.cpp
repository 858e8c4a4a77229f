// SPDX-License-Identifier: Apache-2.0
// gradus model inspect: what a model folder, adapter folder or GGUF file holds.
#include <iostream>

#include "base/error.h"
#include "commands.h"
#include "digest_cache.h"
#include "hub/hub.h"
#include "store/inspect/inspect.h"

namespace gradus {
namespace {

int run_inspect(const CommandLine& line) {
  RememberedDigests digests;
  const Json report = inspect_model(resolve_model(line.only("DIR")), digests.cache());
  if (!print_json_if_asked(line, report)) std::cout << inspect_text(report);
  return kExitOk;
}

}  // namespace

Command model_inspect_command() {
  return {"model inspect",
          "show a model's parameters, memory, tokenizer, template, licence and lineage",
          "DIR",
          nullptr,
          nullptr,
          run_inspect,
          Arguments::kOne};
}

}  // namespace gradus
