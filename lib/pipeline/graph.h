// SPDX-License-Identifier: Apache-2.0
// The stages of a pipeline with their resolved recipes, in an order in which each follows all that
// it needs. A stage needs another when one of its input paths lies in, or holds, one of the other's
// output paths, or when `needs` says so.
#pragma once

#include <string>
#include <vector>

#include "pipeline/recipe.h"
#include "pipeline/stage_command.h"

namespace gradus {

struct Stage {
  std::string name;
  StageCommand command;
  ResolvedRecipe recipe;
  std::vector<PathField> inputs = {}, outputs = {};  // of recipe.paths
  std::vector<size_t> needs = {};                    // positions in Pipeline::stages, ascending
  std::vector<size_t> needs_by_name = {};            // those of them that no path connects
};

struct Pipeline {
  fs::path out;
  std::vector<Stage> stages;

  // Throws gradus::Error with the nearest name.
  size_t find(const std::string& name) const;
  // Whether stage `later` needs stage `earlier`, directly or through others.
  bool depends(size_t later, size_t earlier) const;
};

// Checks everything that can be known before a run, and reports all of it together: unknown
// commands and needs, each stage's recipe, inputs that neither exist nor are made by a stage, two
// stages with the same output (or one inside the other), cycles by name.
Pipeline build_pipeline(const PipelineRecipe& recipe, const std::vector<StageCommand>& commands);

// Absolute and normal, without a slash at the end.
fs::path normal_path(const fs::path& path);
bool is_within(const fs::path& path, const fs::path& folder);
// "hf://owner/name": not a path of this machine.
bool is_remote(const std::string& path);

}  // namespace gradus
