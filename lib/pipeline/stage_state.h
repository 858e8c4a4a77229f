// SPDX-License-Identifier: Apache-2.0
// What the pipeline remembers of a stage, in OUT/stages/NAME/:
//   recipe.yaml   the resolved recipe that the command gets
//   started.json  {"key", "parts", "outputs": {key: path}}: a run that has not finished
//   child.pid     the process that runs it (process_identity)
//   done.json     {"key", "parts", "outputs": {key: {"path", "digest"}}, "seconds"}
// Paths inside OUT are relative to it, so the whole folder may move.
//
// After a crash at any point, what is found is either done with these outputs, or started with
// this key (the outputs are this key's unfinished ones), or of no key (they are to be removed).
#pragma once

#include <optional>
#include <string>

#include "pipeline/stage_key.h"

namespace gradus {

struct DoneRecord {
  std::string key;
  Json parts;
  NamedDigests outputs;  // digest by recipe key
  double seconds = 0;
};

class StageState {
 public:
  StageState(const fs::path& out, const Stage& stage);

  fs::path recipe_path() const { return folder_ / "recipe.yaml"; }
  // Records that are missing or unreadable are nothing.
  std::optional<DoneRecord> done() const;
  // The key of an unfinished run.
  std::optional<std::string> started_key() const;

  // Throws gradus::Error for an output that exists and that no earlier run of this stage is known
  // to have made.
  void require_own_outputs() const;

  // Makes the stage ready to run under `key`. Outputs of an unfinished run of the same key stay
  // when the command resumes; all others are removed, but only those that an earlier run of this
  // stage is known to have made: anything else is refused with gradus::Error. Returns whether the
  // command will resume.
  enum class Keep { kUnfinished, kNothing };
  bool prepare(const StageKey& key, Keep keep) const;
  void note_process(int pid) const;
  void finish(const StageKey& key, const NamedDigests& outputs, double seconds) const;

 private:
  void write_started(const std::string& key, const Json& parts, const Json& outputs) const;
  void wait_for_last_process() const;
  void require_own(const PathField& output) const;

  std::string recorded_path(const PathField& output) const;
  std::vector<fs::path> recorded_paths(const char* record) const;

  const Stage& stage_;
  fs::path out_, folder_;
};

}  // namespace gradus
