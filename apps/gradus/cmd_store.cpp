// SPDX-License-Identifier: Apache-2.0
// gradus store digest | verify | lineage.
#include <iostream>

#include "base/error.h"
#include "commands.h"
#include "digest_cache.h"
#include "hub/hub.h"
#include "store/walk.h"

namespace gradus {
namespace {

int run_digest(const CommandLine& line) {
  const fs::path path = resolve_model(line.only("DIR"));
  const std::string digest = RememberedDigests().cache().path(path);
  if (!print_json_if_asked(line, {{"path", path.string()}, {"digest", digest}}))
    std::cout << digest << "\n";
  return kExitOk;
}

int run_verify(const CommandLine& line) {
  const fs::path folder = resolve_model(line.only("DIR"));
  const Verification result = verify_folder(folder);
  const Json json = {{"folder", folder.string()},
                     {"ok", result.ok()},
                     {"recorded", result.recorded},
                     {"found", result.found},
                     {"changes", result.changes}};
  if (!print_json_if_asked(line, json)) {
    for (const std::string& change : result.changes) std::cout << change << "\n";
    if (result.ok()) std::cout << "ok " << result.found << "\n";
  }
  if (result.ok()) return kExitOk;
  throw Error({.what = "is not the model that its lineage.json describes",
               .where = folder.string(),
               .expected = result.recorded,
               .found = result.found});
}

int run_lineage(const CommandLine& line) {
  const fs::path folder = resolve_model(line.only("DIR"));
  const LineageStep step = walk_lineage(folder, RememberedDigests().cache());
  if (!print_json_if_asked(line, lineage_tree_json(step))) std::cout << render_lineage(step);
  return kExitOk;
}

}  // namespace

Command store_digest_command() {
  return {"store digest", "print the digest that names a model's content",
          "DIR",          nullptr,
          nullptr,        run_digest,
          Arguments::kOne};
}

Command store_verify_command() {
  return {"store verify", "compare a model's files with its lineage, reading every byte",
          "DIR",          nullptr,
          nullptr,        run_verify,
          Arguments::kOne};
}

Command store_lineage_command() {
  return {"store lineage", "walk a model back to its origins", "DIR", nullptr, nullptr, run_lineage,
          Arguments::kOne};
}

}  // namespace gradus
