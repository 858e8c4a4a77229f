// SPDX-License-Identifier: Apache-2.0
#include "train/run_folder.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "recipe/recipe.h"

namespace gradus {
namespace {

// What may change between two starts of a run, because no weight depends on it.
constexpr const char* kFreeKeys[] = {"output",
                                     "data.cache_dir",
                                     "checkpoint.every_steps",
                                     "checkpoint.every_seconds",
                                     "checkpoint.keep_last",
                                     "checkpoint.keep_finished",
                                     "peak_tflops"};

// Nothing, an empty list and an empty section are as if not given.
std::map<std::string, Json> given_values(const Json& value) {
  auto values = flatten_json(value);
  std::erase_if(values, [](const auto& entry) { return entry.second.empty(); });
  return values;
}

bool is_free(const std::string& key) {
  return std::find(std::begin(kFreeKeys), std::end(kFreeKeys), key) != std::end(kFreeKeys);
}

std::string value_text(const std::map<std::string, Json>& values, const std::string& key) {
  const auto found = values.find(key);
  return found == values.end() ? "nothing" : printable(found->second.dump());
}

void refuse_other_recipe(const fs::path& path, const std::vector<std::string>& differences) {
  constexpr size_t kShown = 8;
  std::string text;
  for (size_t i = 0; i < std::min(kShown, differences.size()); ++i)
    text += (text.empty() ? "" : "; ") + differences[i];
  if (differences.size() > kShown) text += cat("; and ", differences.size() - kShown, " more keys");
  throw Error({.what = "belongs to a run of another recipe: " + text,
               .where = path.string(),
               .hint = "choose another output, or remove this folder"});
}

// Before the lock, whose file a folder of something else must not get. recipe.yaml comes first in a
// run and stays, so its absence after the look at the rest says that this is none.
void refuse_foreign(const fs::path& path, const fs::path& kept) {
  for (const auto& entry : fs::directory_iterator(path)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with('.') || is_temporary_name(name) || fs::exists(kept)) continue;
    throw Error({.what = "is not empty and not a run folder", .where = path.string()});
  }
}

// Left by a killed process: with the lock held, nobody else writes here.
void remove_temporaries(const fs::path& path) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(path)) {
    if (is_temporary_name(entry.path().filename().string())) found.push_back(entry.path());
  }
  for (const fs::path& temporary : found) fs::remove_all(temporary);
}

// A start that failed before its first step leaves its recipe and nothing that depends on it.
bool has_begun(const fs::path& path) {
  for (const auto& entry : fs::directory_iterator(path)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with('.') && !is_temporary_name(name) && name != "recipe.yaml" &&
        name != "data_report.json")
      return true;
  }
  return false;
}

}  // namespace

std::vector<std::string> differing_keys(const Json& before, const Json& now) {
  auto old_values = given_values(before), new_values = given_values(now);
  std::set<std::string> keys;
  for (const auto& values : {old_values, new_values})
    for (const auto& entry : values) keys.insert(entry.first);
  std::vector<std::string> lines;
  for (const std::string& key : keys) {
    const std::string was = value_text(old_values, key), is = value_text(new_values, key);
    const bool same =
        old_values.contains(key) && new_values.contains(key) && old_values[key] == new_values[key];
    if (!same && !is_free(key)) lines.push_back(cat(key, ": ", was, " before, ", is, " now"));
  }
  return lines;
}

void RunFolder::check(const fs::path& path, const ResolvedText& recipe) {
  if (!fs::exists(path)) return;
  const fs::path kept = path / "recipe.yaml";
  refuse_foreign(path, kept);
  if (!has_begun(path)) return;
  const auto differences = differing_keys(read_recipe(kept).json(), recipe.values);
  if (!differences.empty()) refuse_other_recipe(path, differences);
}

RunFolder::RunFolder(const fs::path& path, const ResolvedText& recipe) : path_(path) {
  check(path, recipe);
  fs::create_directories(path);
  lock_ = std::make_unique<FolderLock>(path);
  remove_temporaries(path);
  check(path, recipe);  // another process may have begun since
  if (!has_begun(path)) write_file_atomic(path / "recipe.yaml", recipe.yaml);
}

std::optional<Json> RunFolder::summary() const {
  const fs::path path = path_ / "summary.json";
  return fs::exists(path) ? std::optional(read_json(path)) : std::nullopt;
}

}  // namespace gradus
