// SPDX-License-Identifier: Apache-2.0
#include "pipeline/graph.h"

#include <algorithm>

#include "base/error.h"

namespace gradus {
namespace {

template <class T>
bool contains(const std::vector<T>& list, const T& value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

std::string place_of(const Stage& stage, const std::string& key) {
  return "stage '" + stage.name + "': " + key;
}

// Collects one line per problem; throws them together.
class Report {
 public:
  void add(ErrorParts parts) { add(std::string(Error(std::move(parts)).what())); }
  void add(const std::string& line) { text_ += (text_.empty() ? "" : "\n") + line; }
  void throw_if_any() const {
    if (!text_.empty()) throw Error(text_);
  }

 private:
  std::string text_;
};

const StageCommand* find_command(const std::vector<StageCommand>& commands,
                                 const StageRecipe& stage, Report& report) {
  std::vector<std::string> names;
  for (const StageCommand& command : commands) {
    if (command.name == stage.command) return &command;
    names.push_back(command.name);
  }
  report.add({.what = unknown_name("unknown command", stage.command, names),
              .where = "stage '" + stage.name + "'"});
  return nullptr;
}

std::vector<Stage> resolve_stages(const PipelineRecipe& recipe,
                                  const std::vector<StageCommand>& commands) {
  Report report;
  std::vector<Stage> stages;
  for (const StageRecipe& written : recipe.stages) {
    const StageCommand* command = find_command(commands, written, report);
    if (!command) continue;
    try {
      Stage stage{.name = written.name,
                  .command = *command,
                  .recipe = command->resolve(stage_recipe_node(written))};
      for (const PathField& field : stage.recipe.paths) {
        if (field.kind == PathKind::kOutput) stage.outputs.push_back(field);
        if (field.kind == PathKind::kInput || field.kind == PathKind::kData)
          stage.inputs.push_back(field);
      }
      stages.push_back(std::move(stage));
    } catch (const Error& error) {
      report.add(error.what());
    }
  }
  report.throw_if_any();
  return stages;
}

bool touch(const PathField& a, const PathField& b) {
  if (is_remote(a.path) || is_remote(b.path)) return false;
  const fs::path left = normal_path(a.path), right = normal_path(b.path);
  return is_within(left, right) || is_within(right, left);
}

void check_outputs(const std::vector<Stage>& stages, Report& report) {
  for (size_t i = 0; i < stages.size(); ++i) {
    for (const PathField& output : stages[i].outputs) {
      for (size_t j = 0; j < i; ++j) {
        for (const PathField& other : stages[j].outputs) {
          if (!touch(output, other)) continue;
          report.add({.what = "writes to the same place as " + place_of(stages[j], other.key),
                      .where = place_of(stages[i], output.key),
                      .found = output.path + " and " + other.path,
                      .hint = "give each stage a folder of its own"});
        }
      }
    }
  }
}

// Outputs are removed before a stage runs anew: none may hold the pipeline's records or the folder
// we work in.
void check_removable(const std::vector<Stage>& stages, const fs::path& out, Report& report) {
  const fs::path own = normal_path(out), here = normal_path(".");
  for (const Stage& stage : stages) {
    for (const PathField& output : stage.outputs) {
      const fs::path path = normal_path(output.path);
      if (is_within(own, path) || is_within(here, path) || is_within(path, own / "stages"))
        report.add({.what = "would replace the pipeline's own folder",
                    .where = place_of(stage, output.key),
                    .found = output.path,
                    .hint = "write to a folder such as ${out}/" + stage.name});
    }
  }
}

// Adds to `stage` the stages whose output `input` is; reports an input that comes from nowhere.
void connect_input(std::vector<Stage>& stages, size_t stage, const PathField& input,
                   Report& report) {
  bool made_here = false;
  for (size_t other = 0; other < stages.size(); ++other) {
    for (const PathField& output : stages[other].outputs) {
      if (!touch(input, output)) continue;
      made_here = true;
      if (other == stage) {
        report.add({.what = "reads what the stage itself writes (" + output.key + ")",
                    .where = place_of(stages[stage], input.key),
                    .found = input.path});
      } else if (!contains(stages[stage].needs, other)) {
        stages[stage].needs.push_back(other);
      }
    }
  }
  std::error_code ignored;
  if (made_here || is_remote(input.path) || fs::exists(input.path, ignored)) return;
  report.add({.what = "no such file or folder, and no stage makes it",
              .where = place_of(stages[stage], input.key),
              .found = input.path});
}

void connect_names(std::vector<Stage>& stages, size_t stage, const StageRecipe& written,
                   Report& report) {
  std::vector<std::string> names;
  for (const Stage& other : stages) names.push_back(other.name);
  for (const std::string& name : written.needs) {
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end() || name == stages[stage].name) {
      report.add({.what = unknown_name("needs an unknown stage", name, names),
                  .where = "stage '" + stages[stage].name + "'"});
      continue;
    }
    const auto position = static_cast<size_t>(found - names.begin());
    if (contains(stages[stage].needs, position)) continue;
    stages[stage].needs.push_back(position);
    stages[stage].needs_by_name.push_back(position);
  }
}

// Follows needs among the stages that could not be ordered until one comes again.
std::string describe_cycle(const std::vector<Stage>& stages, const std::vector<bool>& placed) {
  size_t at = 0;
  while (placed[at]) ++at;
  std::vector<size_t> path;
  while (!contains(path, at)) {
    path.push_back(at);
    const auto& needs = stages[at].needs;
    at = *std::find_if(needs.begin(), needs.end(), [&](size_t need) { return !placed[need]; });
  }
  std::string text = stages[at].name;
  for (size_t i = path.size(); path[--i] != at;) text += " → " + stages[path[i]].name;
  return text + " → " + stages[at].name;
}

// Positions so that each stage follows its needs; otherwise in the order written.
std::vector<size_t> order_of(const std::vector<Stage>& stages) {
  std::vector<size_t> order;
  std::vector<bool> placed(stages.size());
  while (order.size() < stages.size()) {
    size_t next = 0;
    const auto ready = [&](size_t i) {
      return !placed[i] && std::all_of(stages[i].needs.begin(), stages[i].needs.end(),
                                       [&](size_t need) { return placed[need]; });
    };
    while (next < stages.size() && !ready(next)) ++next;
    if (next == stages.size())
      throw Error({.what = "stages wait for each other in a circle",
                   .found = describe_cycle(stages, placed)});
    placed[next] = true;
    order.push_back(next);
  }
  return order;
}

std::vector<Stage> reorder(const std::vector<Stage>& stages, const std::vector<size_t>& order) {
  std::vector<size_t> position(order.size());
  for (size_t i = 0; i < order.size(); ++i) position[order[i]] = i;
  std::vector<Stage> sorted;
  for (const size_t old : order) {
    Stage stage = stages[old];
    for (auto* list : {&stage.needs, &stage.needs_by_name}) {
      for (size_t& need : *list) need = position[need];
      std::sort(list->begin(), list->end());
    }
    sorted.push_back(std::move(stage));
  }
  return sorted;
}

}  // namespace

size_t Pipeline::find(const std::string& name) const {
  std::vector<std::string> names;
  for (size_t i = 0; i < stages.size(); ++i) {
    if (stages[i].name == name) return i;
    names.push_back(stages[i].name);
  }
  throw UsageError(unknown_name("unknown stage '" + printable(name) + "'", name, names));
}

bool Pipeline::depends(size_t later, size_t earlier) const {
  const auto& needs = stages[later].needs;
  return std::any_of(needs.begin(), needs.end(),
                     [&](size_t need) { return need == earlier || depends(need, earlier); });
}

Pipeline build_pipeline(const PipelineRecipe& recipe, const std::vector<StageCommand>& commands) {
  std::vector<Stage> stages = resolve_stages(recipe, commands);
  Report report;
  check_outputs(stages, report);
  check_removable(stages, recipe.out, report);
  for (size_t i = 0; i < stages.size(); ++i) {
    for (const PathField& input : stages[i].inputs) connect_input(stages, i, input, report);
    connect_names(stages, i, recipe.stages[i], report);
  }
  report.throw_if_any();
  return {recipe.out, reorder(stages, order_of(stages))};
}

fs::path normal_path(const fs::path& path) {
  fs::path normal = fs::absolute(path).lexically_normal();
  return normal.has_filename() ? normal : normal.parent_path();
}

bool is_within(const fs::path& path, const fs::path& folder) {
  const auto [at, unused] = std::mismatch(folder.begin(), folder.end(), path.begin(), path.end());
  return at == folder.end();
}

bool is_remote(const std::string& path) { return path.find("://") != std::string::npos; }

}  // namespace gradus
