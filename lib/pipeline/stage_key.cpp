// SPDX-License-Identifier: Apache-2.0
#include "pipeline/stage_key.h"

#include "base/error.h"
#include "base/hash.h"

namespace gradus {
namespace {

// The name of an input counts (its ending tells the format), the folder it lies in does not.
std::string input_text(const std::string& path) {
  return is_remote(path) ? path : "<input>/" + normal_path(path).filename().string();
}

Json recipe_part(const Stage& stage) {
  std::map<std::string, Json> flat = flatten_json(stage.recipe.values);
  for (const PathField& field : stage.inputs) flat[field.key] = input_text(field.path);
  for (const PathField& field : stage.outputs) flat[field.key] = "<output>";
  for (const PathField& field : stage.recipe.paths) {
    if (field.kind == PathKind::kCache) flat.erase(field.key);
  }
  return flat;
}

std::string short_text(const Json& part, const std::string& key) {
  if (!part.contains(key)) return "nothing";
  return printable(part.at(key).dump(-1, ' ', false, Json::error_handler_t::replace), 60);
}

// Calls differs(key) for every key of either object whose values are not equal.
template <class F>
void compare(const Json& before, const Json& now, F differs) {
  for (const auto& [key, value] : now.items()) {
    if (!before.contains(key) || before.at(key) != value) differs(key);
  }
  for (const auto& [key, value] : before.items()) {
    if (!now.contains(key)) differs(key);
  }
}

}  // namespace

StageKey stage_key(const Stage& stage, const NamedDigests& needs, const std::string& version,
                   DigestCache& cache) {
  std::map<std::string, std::string> inputs;
  for (const PathField& field : stage.inputs) {
    if (is_remote(field.path)) continue;
    inputs[field.key] =
        field.kind == PathKind::kData ? cache.data(field.path) : cache.path(field.path);
  }
  const Json parts = {{"program", version},
                      {"command", stage.command.name},
                      {"recipe", recipe_part(stage)},
                      {"inputs", inputs},
                      {"needs", needs}};
  return {sha256_hex(parts.dump(-1, ' ', false, Json::error_handler_t::replace)), parts};
}

std::vector<std::string> key_differences(const Json& before, const Json& now) {
  std::vector<std::string> lines;
  for (const char* part : {"program", "command"}) {
    if (before.value(part, Json()) != now.at(part))
      lines.push_back(cat(part, ": ", short_text(before, part), " → ", short_text(now, part)));
  }
  const Json none = Json::object();
  const Json old_recipe = before.value("recipe", none), old_inputs = before.value("inputs", none);
  compare(old_recipe, now.at("recipe"), [&](const std::string& key) {
    lines.push_back(cat("recipe ", key, ": ", short_text(old_recipe, key), " → ",
                        short_text(now.at("recipe"), key)));
  });
  compare(old_inputs, now.at("inputs"), [&](const std::string& key) {
    if (old_inputs.contains(key) && now.at("inputs").contains(key))
      lines.push_back("input " + key + ": its content changed");
  });
  compare(before.value("needs", none), now.at("needs"), [&](const std::string& stage) {
    lines.push_back("needs: the output of stage '" + stage + "' changed");
  });
  return lines;
}

}  // namespace gradus
