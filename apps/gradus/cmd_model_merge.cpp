// SPDX-License-Identifier: Apache-2.0
// gradus model merge: adapters become part of their base, or models are merged with each other.
#include "base/error.h"
#include "base/log.h"
#include "base/signals.h"
#include "commands.h"
#include "hub/hub.h"
#include "hub/reference.h"
#include "model/folder.h"
#include "model/merge_adapters.h"
#include "model/merge_models.h"
#include "model/quantization_config.h"
#include "recipe_command.h"
#include "store/adapter_base.h"
#include "store/lineage.h"
#include "tensor/device.h"

namespace gradus {
namespace {

// Without --base the one that the adapter names.
fs::path base_for(const CommandLine& line, const fs::path& adapter) {
  if (line.has("--base")) return resolve_model(line.get("--base"));
  require_adapter_folder(adapter);
  return require_adapter_base(adapter);
}

// `gradus model merge ADAPTER [--base DIR] --out DIR`: a recipe of one adapter.
MergeRecipe recipe_of_flags(const CommandLine& line) {
  const bool twice = line.has("--adapter") && !line.positional().empty();
  if (!line.overrides().empty() || twice)
    throw UsageError("give a recipe with key=value, or one adapter, --base and --out");
  MergeRecipe recipe;
  recipe.out = line.require("--out");
  const std::string adapter =
      line.has("--adapter") ? line.get("--adapter") : line.only("ADAPTER_DIR");
  const fs::path folder = resolve_model(adapter);
  recipe.adapters = {{.path = folder.string()}};
  recipe.base = base_for(line, folder).string();
  if (line.has("--dtype")) recipe.dtype = line.one_of("--dtype", kDtypeNames);
  recipe.allow_other_base = line.has("--allow-other-base");
  return recipe;
}

std::optional<MergeRecipe> recipe_of(const CommandLine& line) {
  for (const char* flag : {"--base", "--adapter", "--out", "--dtype", "--allow-other-base"}) {
    if (line.has(flag) && !line.has("--schema")) return unless_printed(line, recipe_of_flags(line));
  }
  if (line.positional().size() == 1 && fs::is_directory(line.positional()[0]))
    throw UsageError("an adapter alone is merged with --out DIR");
  return recipe_or_answer<MergeRecipe>(line, "model merge");
}

// Without a lineage only the name that PEFT wrote can be compared.
void compare_names(const Adapter& adapter, const fs::path& base) {
  const std::string& said = adapter.config.base_model;
  const std::string own =
      json_get<std::string>(read_json(base / "config.json"), "_name_or_path", "", base.string());
  const auto last = [](const fs::path& path) {
    return (path.has_filename() ? path : path.parent_path()).filename();
  };
  const std::string source = hub_source(base);
  const bool same = !said.empty() && (said == own || last(said) == last(fs::absolute(base)) ||
                                      source.starts_with("hf://" + said + "@"));
  log_warning("merge", adapter.place + " has no lineage: that " + base.string() +
                           " is its base is checked by shapes only" +
                           (same ? "" : "; it names its base '" + printable(said) + "'"));
}

// The base by its content: the one that the adapter's lineage names.
void check_base(const Adapter& adapter, const MergeRecipe& recipe, DigestCache& digests) {
  if (!has_lineage(adapter.place)) return compare_names(adapter, recipe.base);
  for (const LineageParent& parent : read_lineage(adapter.place).parents) {
    if (parent.role != "base") continue;
    const std::string found = digests.folder(recipe.base);
    if (found == parent.digest) continue;
    const std::string what = adapter.place + " was trained on another base, " + parent.path;
    if (!recipe.allow_other_base)
      throw Error({.what = what,
                   .where = recipe.base,
                   .expected = "digest " + parent.digest,
                   .found = found,
                   .hint = "--allow-other-base merges all the same"});
    log_warning("merge", what + ": merged into " + recipe.base + " as asked");
  }
}

c10::ScalarType dtype_of_base(const fs::path& base) {
  const std::string where = (base / "config.json").string();
  const ModelConfig config = read_model_config(base);
  if (read_quantization_config(config.source, where))
    throw Error({.what = "an adapter cannot be merged into a quantised model",
                 .where = base.string(),
                 .hint = "merge it into the model that this one was quantised from"});
  const auto old_name = json_get<std::string>(config.source, "torch_dtype", "float32", where);
  return dtype_from_name(json_get<std::string>(config.source, "dtype", old_name, where));
}

Adapter read_adapters(const MergeRecipe& recipe, DigestCache& digests) {
  std::vector<WeightedAdapter> parts;
  for (const MergePartRecipe& part : recipe.adapters) {
    parts.push_back({read_adapter(part.path), part.weight, part.density});
    check_base(parts.back().adapter, recipe, digests);
  }
  return combine_adapters(std::move(parts), recipe.chosen_method(),
                          static_cast<uint64_t>(recipe.seed));
}

Json merge_adapters(const MergeRecipe& recipe, const fs::path& out, DigestCache& digests) {
  const c10::ScalarType base_dtype = dtype_of_base(recipe.base);
  const c10::ScalarType stored = recipe.dtype ? dtype_from_name(*recipe.dtype) : base_dtype;
  const Adapter adapter = read_adapters(recipe, digests);
  set_compute_threads(0);
  Transformer model = load_model(recipe.base, {.dtype = at::kFloat, .device = at::kCPU});
  attach_adapter(model, adapter);
  throw_if_stopped();
  const MergeCheck check = merge_checked(model, stored);
  throw_if_stopped();
  save_model(out, model, stored);
  copy_text_files(recipe.base, out);
  log_info("merge", cat("largest difference of a logit: ", check.largest_difference, " of ",
                        check.largest_logit, ", and ", check.rounding_difference,
                        " by rounding to ", dtype_name(stored)));
  return {{"dtype", dtype_name(stored)},
          {"checked_tokens", check.tokens},
          {"largest_logit_difference", check.largest_difference},
          {"rounding_logit_difference", check.rounding_difference},
          {"largest_logit", check.largest_logit}};
}

// All parents with their weights, in the order of the recipe.
void write_merge_lineage(const MergeRecipe& recipe, const fs::path& out, Json result,
                         DigestCache& digests) {
  LineageBuilder lineage(LineageKind::kMerge, digests);
  if (!recipe.base.empty()) lineage.parent("base", recipe.base);
  Json parts = Json::array();
  const auto add = [&](const std::string& role, const MergePartRecipe& part) {
    lineage.parent(role, part.path);
    parts.push_back({{"role", role},
                     {"digest", digests.folder(part.path)},
                     {"weight", part.weight},
                     {"density", part.density}});
  };
  for (const MergePartRecipe& part : recipe.adapters) add("adapter", part);
  for (const MergePartRecipe& part : recipe.models) add("model", part);
  result["merged"] = parts;
  lineage.recipe(recipe_json(recipe)).training(result).write(out);
}

int answer_check(const CommandLine& line, const MergeRecipe& recipe) {
  DigestCache digests;
  refuse_existing(recipe.out);
  if (recipe.adapters.empty()) {
    check_mergeable(recipe);
  } else {
    dtype_of_base(recipe.base);
    read_adapters(recipe, digests);
  }
  return answer_checked(line);
}

int run_merge(const CommandLine& line) {
  const auto recipe = recipe_of(line);
  if (!recipe) return kExitOk;
  if (line.has("--check")) return answer_check(line, *recipe);
  DigestCache digests;
  AtomicFolder folder(recipe->out);
  Json result = Json::object();
  if (recipe->adapters.empty()) {
    merge_models(*recipe, folder.path());
  } else {
    result = merge_adapters(*recipe, folder.path(), digests);
  }
  write_merge_lineage(*recipe, folder.path(), result, digests);
  folder.commit();
  result["model"] = recipe->out;
  print_json_if_asked(line, result);
  return kExitOk;
}

std::vector<Flag> merge_flags() {
  std::vector<Flag> flags = recipe_flags();
  flags.insert(flags.end(),
               {{"--base", "DIR",
                 "without a recipe: the model that the adapter was trained on (default: the one "
                 "that the adapter names, if it is here)"},
                {"--adapter", "DIR", "the adapter, if it is not given as ADAPTER_DIR"},
                {"--out", "DIR", "the merged model folder to write; must not exist"},
                {"--dtype", "DTYPE", "of the merged weights (default: the base's)"},
                {"--allow-other-base", "", "merge into a base that it was not trained on"}});
  return flags;
}

}  // namespace

Command model_merge_command() {
  return {"model merge",
          "merge adapters into their base, or models with each other",
          "ADAPTER_DIR [--base DIR] --out DIR | recipe.yaml [key=value …]",
          merge_flags,
          recipe_details<MergeRecipe>,
          run_merge};
}

}  // namespace gradus
