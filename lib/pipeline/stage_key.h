// SPDX-License-Identifier: Apache-2.0
// The cache key of a stage: everything its result depends on, and nothing else.
//
// Its parts are kept beside the digest, so that `--why` can name the one that changed:
//   {"program": version, "command": name,
//    "recipe": {dotted key: value},   output paths as "<output>", input paths as "<input>/<name>",
//                                     cache paths left out
//    "inputs": {dotted key: digest},  of the files and folders read
//    "needs":  {stage: digest}}       outputs of the stages that only `needs` names
// Folders may move and upstream stages may run again: the key changes with content only.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/digest.h"
#include "pipeline/graph.h"

namespace gradus {

struct StageKey {
  std::string digest;
  Json parts;
};

using NamedDigests = std::map<std::string, std::string>;

// Every input must exist. `needs` holds the digests for Stage::needs_by_name by stage.
StageKey stage_key(const Stage& stage, const NamedDigests& needs, const std::string& version,
                   DigestCache& cache);

// One line for each difference: "recipe train.steps: 10 → 20". Empty when the parts are equal.
std::vector<std::string> key_differences(const Json& before, const Json& now);

}  // namespace gradus
