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

void GenerationRecipe::check(Problems& problems) const {
  for (size_t i = 0; i < stop.size(); ++i) {
    if (stop[i].empty()) problems.add(cat("stop.", i), "may not be empty");
  }
}

bool TaskRecipe::shares_labels() const {
  return multiple_choice &&
         !(multiple_choice->labels.empty() && multiple_choice->labels_file.empty());
}

void TaskRecipe::check(Problems& problems) const {
  const int kinds = perplexity.has_value() + multiple_choice.has_value() + generation.has_value();
  if (kinds != 1) problems.add("", "needs exactly one of perplexity, multiple_choice, generation");
}

void GateRecipe::check(Problems& problems) const {
  const int rules = minimum.has_value() + maximum.has_value() + no_worse_than.has_value() +
                    better_than.has_value();
  if (rules != 1)
    problems.add("", "needs exactly one of minimum, maximum, no_worse_than, better_than");
  const size_t dot = metric.find('.');
  if (dot == std::string::npos) problems.add("metric", "is written task.metric, e.g. route.acc");
  const std::string owner = metric.substr(0, dot);
  if (!baseline().empty() && (owner == "model" || owner == "performance"))
    problems.add("metric", "only metrics of tasks can be compared with a baseline");
}

const std::string& GateRecipe::baseline() const {
  static const std::string none;
  return no_worse_than ? no_worse_than->baseline : better_than ? better_than->baseline : none;
}

void EvalRecipe::check(Problems& problems) const {
  check_task_names(tasks, problems);
  for (size_t i = 0; i < gates.size(); ++i) {
    const std::string& baseline = gates[i].baseline();
    if (baseline.empty() || baselines.contains(baseline)) continue;
    std::vector<std::string> names;
    for (const auto& entry : baselines) names.push_back(entry.first);
    const char* rule = gates[i].no_worse_than ? ".no_worse_than" : ".better_than";
    problems.add(cat("gates.", i, rule, ".baseline"),
                 unknown_name("unknown baseline", baseline, names));
  }
}

void CompareRecipe::check(Problems& problems) const {
  for (size_t i = 0; i < order.size(); ++i) {
    if (!results.contains(order[i]))
      problems.add(cat("order.", i), "is not a label of results: " + order[i]);
  }
}

}  // namespace gradus
