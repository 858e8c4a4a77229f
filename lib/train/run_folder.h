// SPDX-License-Identifier: Apache-2.0
// A run's folder: recipe.yaml (resolved), metrics.jsonl, tensorboard/, checkpoints/,
// data_report.json, model/ and adapter/ (the result) and summary.json, which is written last and so
// marks a finished run. One process at a time; one recipe for ever.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/json.h"

namespace gradus {

// A recipe as resolved values and as the YAML that is kept.
struct ResolvedText {
  Json values;
  std::string yaml;
};

class RunFolder {
 public:
  // Throws gradus::Error when the folder holds something else than a run, or a run whose recipe
  // differs in anything but where it lies and how often it saves; the keys that differ are named. A
  // run that failed before its first step is taken over by any recipe. Changes nothing.
  static void check(const fs::path& path, const ResolvedText& recipe);
  // Makes the folder, or opens the one of an earlier run of the same recipe. Throws gradus::Error
  // as check() does, and when another process uses the folder.
  RunFolder(const fs::path& path, const ResolvedText& recipe);

  const fs::path& path() const { return path_; }
  fs::path checkpoints() const { return path_ / "checkpoints"; }
  fs::path model() const { return path_ / "model"; }
  fs::path adapter() const { return path_ / "adapter"; }
  // Of a finished run.
  std::optional<Json> summary() const;
  void finish(const Json& summary) const { write_json(path_ / "summary.json", summary); }

 private:
  fs::path path_;
  std::unique_ptr<FolderLock> lock_;
};

// Dotted keys whose values differ, with both values: "optimizer.lr: 0.001 before, 0.002 now".
std::vector<std::string> differing_keys(const Json& before, const Json& now);

}  // namespace gradus
