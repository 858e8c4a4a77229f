// SPDX-License-Identifier: Apache-2.0
// gradus model fetch: a model or data set from a hub into the local cache.
#include <iostream>

#include "base/error.h"
#include "commands.h"
#include "hub/hub.h"
#include "hub/reference.h"

namespace gradus {
namespace {

int run_fetch(const CommandLine& line) {
  const std::string& name = line.only("hf://owner/name");
  const HubReference reference = parse_hub_reference(name);
  const fs::path path =
      reference.kind == HubKind::kDataset ? resolve_data(name) : resolve_model(name);
  if (!print_json_if_asked(line, {{"path", path.string()}, {"source", recorded_path(path)}}))
    std::cout << path.string() << "\n";
  return kExitOk;
}

}  // namespace

Command model_fetch_command() {
  return {"model fetch",
          "fetch a model or data set from a hub and print where it lies",
          "hf://owner/name[@revision][/path]",
          nullptr,
          nullptr,
          run_fetch,
          Arguments::kOne};
}

}  // namespace gradus
