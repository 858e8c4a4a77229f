// SPDX-License-Identifier: Apache-2.0
// gradus model diff: what differs between two models.
#include <iostream>

#include "base/error.h"
#include "commands.h"
#include "hub/hub.h"
#include "store/inspect/diff.h"

namespace gradus {
namespace {

int run_diff(const CommandLine& line) {
  const auto& models = line.positional();
  if (models.size() != 2) throw UsageError("expected two models", "gradus model diff A B");
  const ModelDifference difference =
      diff_models(resolve_model(models[0]), resolve_model(models[1]));
  if (!print_json_if_asked(line, diff_json(difference))) std::cout << diff_text(difference);
  return difference.equal() ? kExitOk : kExitUserError;
}

}  // namespace

Command model_diff_command() {
  return {
      "model diff",   "name the tensors and configuration keys that differ; exit code 1 if any do",
      "A B",          nullptr,
      nullptr,        run_diff,
      Arguments::kTwo};
}

}  // namespace gradus
