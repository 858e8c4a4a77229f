// SPDX-License-Identifier: Apache-2.0
#include "eval/recipe.h"

#include <algorithm>
#include <set>

#include "base/error.h"

namespace gradus {
namespace {

// Names become parts of "task.metric".
bool is_plain_name(const std::string& name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '_' || c == '-';
  });
}

void check_task_names(const std::vector<TaskRecipe>& tasks, Problems& problems) {
  std::set<std::string> seen = {"model", "performance"};
  for (size_t i = 0; i < tasks.size(); ++i) {
    const std::string key = cat("tasks.", i, ".name");
    if (!is_plain_name(tasks[i].name)) {
      problems.add(key, "may hold letters, digits, '_' and '-' only");
    } else if (!seen.insert(tasks[i].name).second) {
      problems.add(key, "is taken: " + tasks[i].name);
    }
  }
}

}  // namespace

void MultipleChoiceRecipe::check(Problems& problems) const {
  if (!labels.empty() && !labels_file.empty())
    problems.add("labels_file", "cannot be combined with labels");
  if (end_of_turn && !prompt.chat) problems.add("end_of_turn", "needs prompt.chat: true");
}

void TaskRecipe::check(Problems& problems) const {
  const int kinds = perplexity.has_value() + multiple_choice.has_value() + generation.has_value();
  if (kinds != 1) problems.add("", "needs exactly one of perplexity, multiple_choice, generation");
}

void GateRecipe::check(Problems& problems) const {
  const int rules = minimum.has_value() + maximum.has_value() + no_worse_than.has_value();
  if (rules != 1) problems.add("", "needs exactly one of minimum, maximum, no_worse_than");
  if (metric.find('.') == std::string::npos)
    problems.add("metric", "is written task.metric, e.g. route.acc");
}

void EvalRecipe::check(Problems& problems) const {
  check_task_names(tasks, problems);
  for (size_t i = 0; i < gates.size(); ++i) {
    const auto& compared = gates[i].no_worse_than;
    if (!compared || baselines.contains(compared->baseline)) continue;
    std::vector<std::string> names;
    for (const auto& entry : baselines) names.push_back(entry.first);
    problems.add(cat("gates.", i, ".no_worse_than.baseline"),
                 unknown_name("unknown baseline", compared->baseline, names));
  }
}

void CompareRecipe::check(Problems& problems) const {
  for (size_t i = 0; i < order.size(); ++i) {
    if (!results.contains(order[i]))
      problems.add(cat("order.", i), "is not a label of results: " + order[i]);
  }
}

}  // namespace gradus
