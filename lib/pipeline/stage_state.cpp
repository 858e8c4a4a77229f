// SPDX-License-Identifier: Apache-2.0
#include "pipeline/stage_state.h"

#include <algorithm>

#include "base/error.h"
#include "pipeline/process.h"

namespace gradus {
namespace {

constexpr int kDyingProcessMs = 20'000;  // a killed process frees gigabytes before its locks

std::optional<Json> read_record(const fs::path& path) {
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) return std::nullopt;
  try {
    Json record = read_json(path);
    if (record.is_object()) return record;
  } catch (const Error&) {
    // An unreadable record is none: the stage runs again.
  }
  return std::nullopt;
}

// Half-written siblings of an output that a killed command left (see base/files.h).
void remove_temporaries(const fs::path& output) {
  std::error_code ignored;
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(output.parent_path(), ignored)) {
    const std::string name = entry.path().filename().string();
    if (is_temporary_name(name, output.filename().string())) found.push_back(entry.path());
  }
  for (const fs::path& path : found) fs::remove_all(path, ignored);
}

void remove_output(const fs::path& path) {
  std::error_code code;
  fs::remove_all(path, code);
  if (code)
    throw Error(
        {.what = "cannot remove the old output: " + code.message(), .where = path.string()});
}

}  // namespace

StageState::StageState(const fs::path& out, const Stage& stage)
    : stage_(stage), out_(normal_path(out)), folder_(out / "stages" / stage.name) {}

std::string StageState::recorded_path(const PathField& output) const {
  const fs::path path = normal_path(output.path);
  return (is_within(path, out_) ? path.lexically_relative(out_) : path).generic_string();
}

// The outputs that a record names, whatever its kind, as normal paths.
std::vector<fs::path> StageState::recorded_paths(const char* name) const {
  std::vector<fs::path> paths;
  const std::optional<Json> record = read_record(folder_ / name);
  if (!record || !record->value("outputs", Json()).is_object()) return paths;
  for (const auto& [key, output] : record->at("outputs").items()) {
    const Json path = output.is_object() ? output.value("path", Json()) : output;
    if (path.is_string()) paths.push_back(normal_path(out_ / path.get<std::string>()));
  }
  return paths;
}

std::optional<DoneRecord> StageState::done() const {
  const std::optional<Json> record = read_record(folder_ / "done.json");
  if (!record) return std::nullopt;
  try {
    DoneRecord done{.key = record->at("key"),
                    .parts = record->at("parts"),
                    .outputs = {},
                    .seconds = record->at("seconds")};
    for (const auto& [key, output] : record->at("outputs").items())
      done.outputs[key] = output.at("digest").get<std::string>();
    return done;
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

std::optional<std::string> StageState::started_key() const {
  const std::optional<Json> record = read_record(folder_ / "started.json");
  if (!record || !record->value("key", Json()).is_string()) return std::nullopt;
  return record->at("key").get<std::string>();
}

void StageState::require_own(const PathField& output) const {
  const fs::path path = normal_path(output.path);
  for (const char* name : {"started.json", "done.json"}) {
    const std::vector<fs::path> own = recorded_paths(name);
    if (std::find(own.begin(), own.end(), path) != own.end()) return;
  }
  throw Error({.what = "exists, and this stage did not make it",
               .where = cat("stage '", stage_.name, "': ", output.key, ": ", output.path),
               .hint = "remove it, or choose another output"});
}

void StageState::require_own_outputs() const {
  std::error_code ignored;
  for (const PathField& output : stage_.outputs) {
    if (fs::exists(normal_path(output.path), ignored)) require_own(output);
  }
}

void StageState::wait_for_last_process() const {
  const fs::path path = folder_ / "child.pid";
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return;
  wait_until_gone(read_file(path), kDyingProcessMs);
  fs::remove(path, ignored);
}

void StageState::write_started(const std::string& key, const Json& parts,
                               const Json& outputs) const {
  write_json(folder_ / "started.json", {{"key", key}, {"parts", parts}, {"outputs", outputs}});
}

bool StageState::prepare(const StageKey& key, Keep keep) const {
  wait_for_last_process();
  require_own_outputs();
  std::error_code ignored;
  Json outputs = Json::object();
  for (const PathField& output : stage_.outputs) {
    outputs[output.key] = recorded_path(output);
    remove_temporaries(normal_path(output.path));
  }
  const bool resumes = keep == Keep::kUnfinished && started_key() == key.digest && !done() &&
                       stage_.command.after_crash == AfterCrash::kResumes;
  if (!resumes) {
    // Without a key until the old outputs are gone: half-removed ones must not be resumed.
    write_started("", nullptr, outputs);
    fs::remove(folder_ / "done.json", ignored);
    for (const PathField& output : stage_.outputs) remove_output(normal_path(output.path));
  }
  write_started(key.digest, key.parts, outputs);
  write_file_atomic(recipe_path(), stage_.recipe.yaml);
  return resumes;
}

void StageState::note_process(int pid) const {
  write_file_atomic(folder_ / "child.pid", process_identity(pid));
}

void StageState::finish(const StageKey& key, const NamedDigests& digests, double seconds) const {
  Json outputs = Json::object();
  for (const PathField& output : stage_.outputs) {
    outputs[output.key] = {{"path", recorded_path(output)}, {"digest", digests.at(output.key)}};
  }
  write_json(
      folder_ / "done.json",
      {{"key", key.digest}, {"parts", key.parts}, {"outputs", outputs}, {"seconds", seconds}});
  std::error_code ignored;
  fs::remove(folder_ / "started.json", ignored);
  fs::remove(folder_ / "child.pid", ignored);
}

}  // namespace gradus
