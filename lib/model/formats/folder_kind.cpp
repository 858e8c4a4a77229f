// SPDX-License-Identifier: Apache-2.0
#include "model/formats/folder_kind.h"

#include "base/error.h"

namespace gradus {
namespace {

bool has(const fs::path& folder, const char* name) {
  std::error_code ignored;
  return fs::is_regular_file(folder / name, ignored);
}

bool is_adapter(const fs::path& folder) { return has(folder, "adapter_config.json"); }

std::string merge_line(const fs::path& adapter) {
  return "merge it with its base: gradus model merge " + adapter.string() +
         " --base BASE --out OUT";
}

}  // namespace

void require_model_folder(const fs::path& folder) {
  if (has(folder, "config.json")) return;
  std::error_code ignored;
  const auto refuse = [&](const std::string& what, const std::string& hint) {
    throw Error({.what = what, .where = folder.string(), .hint = hint});
  };
  if (!fs::exists(folder, ignored)) refuse("does not exist", "");
  if (!fs::is_directory(folder, ignored)) refuse("is a file, not a model folder", "");
  if (is_adapter(folder)) refuse("is an adapter, not a model", merge_line(folder));
  if (has(folder / "model", "config.json"))
    refuse("is a run folder, not a model", "its model is in " + (folder / "model").string());
  if (is_adapter(folder / "adapter"))
    refuse("is a run folder without a model", merge_line(folder / "adapter"));
  refuse("is not a model folder: it has no config.json", "");
}

}  // namespace gradus
