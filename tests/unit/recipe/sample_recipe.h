// SPDX-License-Identifier: Apache-2.0
// A recipe with every kind of field, for the tests of this folder.
#pragma once

#include <functional>

#include "base/error.h"
#include "recipe/recipe.h"

namespace gradus::sample {

enum class Schedule { kCosine, kLinear, kConstant };
inline std::span<const EnumName<Schedule>> enum_names(Schedule) {
  static constexpr EnumName<Schedule> kNames[] = {{"cosine", Schedule::kCosine},
                                                  {"linear", Schedule::kLinear},
                                                  {"constant", Schedule::kConstant}};
  return kNames;
}

struct Optimizer {
  double lr = 2e-5;
  double min_lr = 0;
  int64_t warmup_steps = 0;
  Schedule schedule = Schedule::kCosine;
  template <class V>
  void visit(V& v) {
    v("lr", lr, "peak learning rate", rule::positive);
    v("min_lr", min_lr, "learning rate at the end", rule::at_least(0));
    v("warmup_steps", warmup_steps, "optimizer steps of linear warm-up", rule::at_least(0),
      rule::unit("steps"));
    v("schedule", schedule, "how the learning rate falls after the warm-up");
  }
  void check(Problems& problems) const {
    if (min_lr > lr) problems.add("min_lr", "may not be above lr");
  }
};

struct Lora {
  int64_t rank = 8;
  double alpha = 16;
  std::vector<std::string> modules = {"q_proj", "v_proj"};
  template <class V>
  void visit(V& v) {
    v("rank", rank, "inner dimension", rule::in_range(1, 1024));
    v("alpha", alpha, "scale: alpha / rank", rule::positive);
    v("modules", modules, "linear layers that get an adapter", rule::non_empty);
  }
};

struct Source {
  std::string path;
  double share = 1;
  std::string format = "auto";
  template <class V>
  void visit(V& v) {
    v("path", path, "file of documents", rule::required, rule::path_input);
    v("share", share, "share of the tokens", rule::above(0), rule::at_most(1));
    v("format", format, "shape of a line", rule::one_of({"auto", "text", "jsonl"}));
  }
};

struct Train {
  std::string output;
  Optimizer optimizer;
  std::optional<Lora> lora;
  template <class V>
  void visit(V& v) {
    v("output", output, "run folder", rule::required, rule::path_output);
    v("optimizer", optimizer, "the optimizer");
    v("lora", lora, "low-rank adapters; without it every weight is trained");
  }
};

struct Recipe {
  int64_t seed = 1;
  bool shuffle = true;
  std::string name;
  std::optional<double> clip = 1.0;
  std::vector<Source> sources;
  std::map<std::string, int64_t> limits;
  std::map<std::string, Optimizer> groups;
  Json task;
  RecipeNode next;
  Train train;
  template <class V>
  void visit(V& v) {
    v("seed", seed, "seed of every random choice");
    v("shuffle", shuffle, "whether documents are shuffled");
    v("name", name, "shown in reports");
    v("clip", clip, "largest gradient norm", rule::positive);
    v("sources", sources, "where the text comes from");
    v("limits", limits, "largest count by name", rule::at_least(1));
    v("groups", groups, "optimizer settings of some parameters, by a pattern of their names");
    v("task", task, "settings of the task");
    v("next", next, "a recipe that is loaded later");
    v("train", train, "training");
  }
};

// The lines of the error that `action` throws, "" when it throws none.
inline std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// Loads with what is always required already given.
inline Recipe load(std::string_view yaml, std::vector<std::string> overrides = {}) {
  overrides.insert(overrides.begin(), "train.output=runs/x");
  return parse_recipe<Recipe>(yaml, "r.yaml", overrides, InputPaths::kMayBeMissing);
}

inline std::string load_error(std::string_view yaml,
                              const std::vector<std::string>& overrides = {}) {
  return error_of([&] { load(yaml, overrides); });
}

}  // namespace gradus::sample
