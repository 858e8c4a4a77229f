// SPDX-License-Identifier: Apache-2.0
// Edits of a pipeline's YAML tree before it is loaded. Places stay those of the file.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "recipe/yaml_node.h"

namespace gradus {

using Variables = std::map<std::string, std::string>;

// `tree` with every ${name} in its text values replaced; "$${" stands for "${". Unknown names and
// unclosed braces go to `problems`. Keys are left alone.
YamlPtr expand_variables(const YamlPtr& tree, const Variables& variables, Problems& problems);
// A pipeline's root with its `vars` and `stages` expanded; ${out} is the value of `out`.
YamlPtr expand_pipeline(const YamlPtr& root, Problems& problems);

// `over` merged into `base`: maps key by key, with dotted keys as paths; all else is replaced.
YamlPtr merge_trees(const YamlPtr& base, const YamlPtr& over);

// "stages.l1.recipe.x=1" with the stage's number for its name, and with "overrides" for "recipe"
// where the stage has a recipe_file. Throws gradus::Error for an unknown stage.
std::vector<std::string> number_stages(const std::vector<std::string>& overrides,
                                       const YamlNode& root);

}  // namespace gradus
