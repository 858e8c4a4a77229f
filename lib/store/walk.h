// SPDX-License-Identifier: Apache-2.0
// Reading lineages back: the chain of a model to its origins, and whether the files on disk are
// still the ones described.
#pragma once

#include <string>
#include <vector>

#include "store/lineage.h"

namespace gradus {

enum class ContentState { kOk, kChanged, kAbsent };
std::string to_string(ContentState state);

// One model of the chain. `record` is its lineage or the summary embedded in its child; null when
// nothing is known but the digest.
struct LineageStep {
  std::string role;  // "model" for the one asked about
  fs::path path;
  std::string hub = {};  // its name on a hub, "" for none
  std::string digest;    // as recorded
  ContentState state = ContentState::kAbsent;
  Json record = nullptr;
  std::vector<LineageStep> parents = {};
};

// From `folder` back to every origin. Parents are looked up where the lineage says, relative to
// their child, and compared with the recorded digest; the chain comes from the embedded summaries,
// so it is complete even when every parent is gone.
LineageStep walk_lineage(const fs::path& folder, DigestCache& cache);
// An indented tree, one model a line, with its data below.
std::string render_lineage(const LineageStep& step);
Json lineage_tree_json(const LineageStep& step);

struct Verification {
  std::string recorded, found;       // digests
  std::vector<std::string> changes;  // "model.safetensors: content differs", "x.json: missing"
  bool ok() const { return recorded == found; }
};

// Reads every content file anew, whatever a cache says, and compares with lineage.json.
Verification verify_folder(const fs::path& folder);

}  // namespace gradus
