// SPDX-License-Identifier: Apache-2.0
// The recipes of `gradus eval` and `gradus compare`; docs/eval.md explains the rules behind them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "data/recipe.h"
#include "recipe/recipe.h"

namespace gradus {

// Solved examples placed before every question.
struct FewShotRecipe {
  std::string path;
  std::optional<int64_t> count = {};
  std::string separator = "\n\n";

  template <class V>
  void visit(V& v) {
    v("path", path, "rows like those of the task, with their answers", rule::required,
      rule::path_data);
    v("count", count, "how many, from the start of the file; without it all", rule::at_least(1));
    v("separator", separator, "stands behind each example in plain text");
  }
};

// How a row becomes the text that the model continues.
struct PromptRecipe {
  bool chat = false;
  std::string messages_key = "messages";
  std::string prompt_key = "prompt";
  std::string answer_key;
  std::string instruction;
  std::string delimiter = " ";
  std::optional<FewShotRecipe> few_shot = {};

  template <class V>
  void visit(V& v) {
    v("chat", chat, "render rows with the model's chat template; else plain text");
    v("messages_key", messages_key,
      "chat: key of the list of turns; a last assistant turn is taken off as the answer. Rows "
      "without it become one user turn",
      rule::non_empty);
    v("prompt_key", prompt_key, "key of the question where a row has no turns", rule::non_empty);
    v("answer_key", answer_key,
      "key of the answer: its text, or (multiple choice) its position from 0; empty: the last "
      "assistant turn");
    v("instruction", instruction,
      "chat: replaces the system turn; plain text: stands before everything, as it is");
    v("delimiter", delimiter, "plain text: between question and answer");
    v("few_shot", few_shot, "solved examples before the question: as turns, or as plain text");
  }
};

struct PerplexityRecipe {
  std::string text_key = "text";

  template <class V>
  void visit(V& v) {
    v("text_key", text_key, "key of the text", rule::non_empty);
  }
};

struct MultipleChoiceRecipe {
  PromptRecipe prompt;
  std::string choices_key = "choices";
  std::vector<std::string> labels;
  std::string labels_file;
  bool end_of_turn = false;

  template <class V>
  void visit(V& v) {
    v("prompt", prompt, "how a row becomes the text before the choice");
    v("choices_key", choices_key, "key of a row's own list of choices", rule::non_empty);
    v("labels", labels, "choices that all rows share; adds a confusion table and F1");
    v("labels_file", labels_file,
      "the same from a JSON file: a list of texts, or of objects with a \"label\"",
      rule::path_input);
    v("end_of_turn", end_of_turn,
      "chat: score each choice as a whole turn, its end-of-turn token included, so that no choice "
      "is the beginning of another");
  }
  void check(Problems& problems) const;
};

struct GenerationRecipe {
  PromptRecipe prompt;
  int64_t max_tokens = 256;
  std::vector<std::string> stop;

  template <class V>
  void visit(V& v) {
    v("prompt", prompt, "how a row becomes the text before the answer");
    v("max_tokens", max_tokens, "longest answer", rule::at_least(1), rule::unit("tokens"));
    v("stop", stop, "texts that end an answer and are cut off, besides the end token");
  }
  void check(Problems& problems) const;
};

struct TaskRecipe {
  std::string name;
  std::string data;
  std::optional<int64_t> limit = {};
  std::string cluster_key;
  std::optional<int64_t> context_length = {};
  std::optional<PerplexityRecipe> perplexity = {};
  std::optional<MultipleChoiceRecipe> multiple_choice = {};
  std::optional<GenerationRecipe> generation = {};

  // Whether all rows have the same choices.
  bool shares_labels() const;

  template <class V>
  void visit(V& v) {
    v("name", name, "short name; metrics are called task.metric", rule::required);
    v("data", data, "JSON Lines or CSV file, or a folder of them; gzip and zstd are recognised",
      rule::required, rule::path_data);
    v("limit", limit, "use only the first rows", rule::at_least(1));
    v("cluster_key", cluster_key,
      "key of what rows have in common (a page): rows of one cluster are not counted as "
      "independent in the intervals");
    v("context_length", context_length,
      "longest sequence; default: as many positions as the model has", rule::at_least(2),
      rule::unit("tokens"));
    v("perplexity", perplexity, "task: how well the model predicts text");
    v("multiple_choice", multiple_choice, "task: the likeliest of given answers");
    v("generation", generation, "task: a written answer, greedy");
  }
  void check(Problems& problems) const;
};

struct NoWorseRecipe {
  std::string baseline;
  double by = 0;
  double by_ratio = 0;
  bool within_interval = false;

  template <class V>
  void visit(V& v) {
    v("baseline", baseline, "name of an entry of baselines", rule::required);
    v("by", by, "how much worse is still accepted, in units of the metric", rule::at_least(0));
    v("by_ratio", by_ratio, "the same as a share of the baseline's value", rule::at_least(0));
    v("within_interval", within_interval,
      "refuse only when the whole interval of the paired difference is worse than that");
  }
};

struct BetterRecipe {
  std::string baseline;
  double by = 0;
  double by_ratio = 0;

  template <class V>
  void visit(V& v) {
    v("baseline", baseline, "name of an entry of baselines", rule::required);
    v("by", by, "the improvement must be more than this, in units of the metric",
      rule::at_least(0));
    v("by_ratio", by_ratio, "the same as a share of the baseline's value", rule::at_least(0));
  }
};

struct GateRecipe {
  std::string name;
  std::string metric;
  std::optional<double> minimum = {};
  std::optional<double> maximum = {};
  std::optional<NoWorseRecipe> no_worse_than = {};
  std::optional<BetterRecipe> better_than = {};

  // The baseline that the gate compares with; empty for a bound.
  const std::string& baseline() const;

  template <class V>
  void visit(V& v) {
    v("name", name, "name in reports; empty: made from metric and rule");
    v("metric", metric,
      "task.metric, model.weight_bytes, model.parameters, or a number of performance.json as "
      "performance.name",
      rule::required);
    v("minimum", minimum, "the least value accepted");
    v("maximum", maximum, "the greatest value accepted");
    v("no_worse_than", no_worse_than, "at least as good as the same metric of a baseline");
    v("better_than", better_than, "better than the same metric of a baseline; equal is refused");
  }
  void check(Problems& problems) const;
};

struct SpeedRecipe {
  int64_t prompt_tokens = 256;
  int64_t new_tokens = 32;
  int64_t repeats = 3;

  template <class V>
  void visit(V& v) {
    v("prompt_tokens", prompt_tokens, "length of the prompt", rule::at_least(1));
    v("new_tokens", new_tokens, "tokens generated, one at a time", rule::at_least(2));
    v("repeats", repeats, "runs; the median counts", rule::at_least(1));
  }
};

struct EvalRecipe {
  std::string model;
  std::string out;
  std::string name;
  std::string device = "auto";
  std::string dtype = "auto";
  int64_t threads = 0;
  int64_t batch_tokens = 1024;
  int64_t seed = 1;
  double confidence = 0.95;
  bool samples = true;
  bool record = true;
  std::optional<SpeedRecipe> speed = SpeedRecipe{};
  std::vector<TaskRecipe> tasks;
  std::map<std::string, std::string> baselines;
  std::vector<GateRecipe> gates;

  template <class V>
  void visit(V& v) {
    v("model", model, "the model folder to evaluate", rule::required, rule::path_input);
    v("out", out, "folder for results.json, performance.json and samples.jsonl", rule::required,
      rule::path_output);
    v("name", name, "name of the evaluation in the model's lineage; empty: that of the out folder");
    v("device", device, "auto (a GPU when usable), cpu, cuda, cuda:1");
    v("dtype", dtype, "of the computation; auto: as config.json says",
      rule::one_of({"auto", "float32", "bfloat16", "float16"}));
    v("threads", threads, "CPU threads; 0: all usable cores", rule::at_least(0));
    v("batch_tokens", batch_tokens, "tokens of one forward pass", rule::at_least(1));
    v("seed", seed, "of the resampling behind intervals", rule::at_least(0));
    v("confidence", confidence, "of the intervals", rule::above(0), rule::below(1));
    v("samples", samples, "write samples.jsonl; baselines of later evaluations need it");
    v("record", record, "add results and gates to the model's lineage.json, if it has one");
    v("speed", speed, "measure speed and memory; null: do not");
    v("tasks", tasks, "what to evaluate", rule::non_empty, rule::required);
    v("baselines", baselines, "out folders of other evaluations, by name", rule::path_input);
    v("gates", gates, "bounds that a result must keep; exit code 4 when one does not");
  }
  void check(Problems& problems) const;
};

struct CompareRecipe {
  std::map<std::string, std::string> results;
  std::vector<std::string> order;
  std::vector<std::string> metrics;
  std::string title = "Comparison of models";
  std::string pareto_quality;
  std::string pareto_cost = "weight_bytes";
  std::string out;

  template <class V>
  void visit(V& v) {
    v("results", results, "out folders of evaluations, by the label of their row", rule::required,
      rule::non_empty, rule::path_input);
    v("order", order, "labels from top to bottom; those left out follow by name");
    v("metrics", metrics, "task.metric columns; empty: the main metric of every task");
    v("title", title, "heading of the report");
    v("pareto_quality", pareto_quality,
      "task.metric of the Pareto set; empty: the first column that is better when higher");
    v("pareto_cost", pareto_cost, "what the Pareto set holds quality against",
      rule::one_of({"weight_bytes", "decode_tokens_per_second", "peak_memory_bytes"}));
    v("out", out, "folder for report.html, report.json and report.txt", rule::required,
      rule::path_output);
  }
  void check(Problems& problems) const;
};

}  // namespace gradus
