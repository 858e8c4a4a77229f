// SPDX-License-Identifier: Apache-2.0
// gradus compare: several evaluations as one table.
#include <iostream>

#include "base/error.h"
#include "base/log.h"
#include "commands.h"
#include "eval/compare.h"
#include "recipe_command.h"

namespace gradus {
namespace {

std::vector<Flag> flags() {
  std::vector<Flag> all = recipe_flags();
  all.push_back({"--out", "DIR", "folder of the report, when folders are given and no recipe"});
  return all;
}

// A recipe, or the out folders of evaluations, whose names become the labels.
std::optional<CompareRecipe> read(const CommandLine& line) {
  if (!line.has("--out") && line.positional().size() > 1)
    throw UsageError("--out is missing", "compare A B … --out DIR, or one recipe");
  if (!line.has("--out")) return recipe_or_answer<CompareRecipe>(line, "compare");
  if (schema_answered<CompareRecipe>(line, "compare")) return std::nullopt;
  Json results = Json::object(), order = Json::array();
  for (const std::string& folder : line.positional()) {
    const fs::path path = fs::path(folder).lexically_normal();
    const std::string label = (path.has_filename() ? path : path.parent_path()).filename().string();
    if (results.contains(label))
      throw UsageError("two folders are called " + printable(label), "use a recipe with labels");
    results[label] = folder;
    order.push_back(label);
  }
  const Json recipe = {{"results", results}, {"order", order}, {"out", line.get("--out")}};
  return unless_printed(line, parse_recipe<CompareRecipe>(recipe.dump(), "the command line",
                                                          line.overrides(), inputs_of(line)));
}

void check_out(const fs::path& out) {
  if (!fs::exists(out) || fs::exists(out / "quality.json")) return;
  throw Error(
      {.what = "exists and is not a report", .where = out.string(), .hint = "choose another out"});
}

int run(const CommandLine& line) {
  const auto recipe = read(line);
  if (!recipe) return kExitOk;
  check_out(recipe->out);
  if (line.has("--check")) {
    build_report(*recipe);
    return answer_checked(line);
  }
  AtomicFolder out(recipe->out, AtomicFolder::Existing::kReplace);  // fails before the work
  const Report report = build_report(*recipe);
  write_report(out.path(), report);
  out.commit();
  if (!print_json_if_asked(line, report_json(report))) std::cout << report_text(report);
  log_info("compare", (fs::path(recipe->out) / "report.html").string());
  return kExitOk;
}

}  // namespace

Command compare_command() {
  return {"compare",
          "several evaluations as one table: text, JSON and a web page",
          "recipe.yaml [key=value …]   or   EVAL_DIR… --out DIR",
          flags,
          recipe_details<CompareRecipe>,
          run};
}

}  // namespace gradus
