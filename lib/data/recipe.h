// SPDX-License-Identifier: Apache-2.0
// What to train and evaluate on, as recipes. docs/data.md explains every choice.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "recipe/field.h"
#include "recipe/problems.h"
#include "recipe/rules.h"

namespace gradus {

enum class FileFormat { kAuto, kJsonLines, kText, kCsv };
enum class RowShape { kAuto, kText, kAlpaca, kShareGpt, kMessages };
enum class OverflowPolicy { kError, kSplit, kDrop };
enum class BadLinePolicy { kError, kSkip };
enum class TrainOn { kLastAssistant, kAllAssistant, kEverything };
enum class ExhaustedPolicy { kError, kStop };

std::span<const EnumName<FileFormat>> enum_names(FileFormat);
std::span<const EnumName<RowShape>> enum_names(RowShape);
std::span<const EnumName<OverflowPolicy>> enum_names(OverflowPolicy);
std::span<const EnumName<BadLinePolicy>> enum_names(BadLinePolicy);
std::span<const EnumName<TrainOn>> enum_names(TrainOn);
std::span<const EnumName<ExhaustedPolicy>> enum_names(ExhaustedPolicy);

// The name of an enumerator as it is written in a recipe.
template <class E>
std::string recipe_name(E value) {
  for (const auto& entry : enum_names(value)) {
    if (entry.value == value) return entry.name;
  }
  return "?";
}

// One body of text: a file, or a folder whose data files are read in the order of their names.
struct SourceRecipe {
  std::string name;
  std::string path;
  FileFormat format = FileFormat::kAuto;
  RowShape shape = RowShape::kAuto;
  std::string text_key = "text";
  std::string messages_key;
  std::string separator;
  std::optional<double> share = {};
  std::optional<int64_t> max_epochs = {};
  std::optional<int64_t> max_documents = {};
  std::optional<OverflowPolicy> on_overflow = {};
  std::string licence;

  template <class V>
  void visit(V& v) {
    v("name", name, "short name, used in reports and metrics", rule::required);
    v("path", path, "data file, or folder of data files; gzip and zstd are recognised",
      rule::required, rule::path_data);
    v("format", format, "file format; auto goes by the file name");
    v("shape", shape, "what a row holds; auto looks at the first row");
    v("text_key", text_key, "key or CSV column of the text (shape text)", rule::non_empty);
    v("messages_key", messages_key,
      "key of the list of turns; empty: messages (OpenAI) or conversations (sharegpt)");
    v("separator", separator,
      "splits a text file into documents, e.g. \"\\n\\n\" for paragraphs; empty: one per file");
    v("share", share, "share of the training tokens; relative to the other sources' shares",
      rule::positive);
    v("max_epochs", max_epochs, "how often this source may be repeated", rule::at_least(1));
    v("max_documents", max_documents, "read only the first documents", rule::at_least(1));
    v("on_overflow", on_overflow, "overrides data.on_overflow for this source");
    v("licence", licence, "licence of the text, kept in the lineage of the model");
  }
};

struct DataRecipe {
  std::vector<SourceRecipe> sources;
  std::vector<SourceRecipe> evaluation;
  int64_t context_length = 1024;
  bool packing = true;
  OverflowPolicy on_overflow = OverflowPolicy::kError;
  BadLinePolicy on_bad_line = BadLinePolicy::kError;
  int64_t max_record_bytes = 16 << 20;
  TrainOn train_on = TrainOn::kAllAssistant;
  bool append_eos = true;
  bool add_special_tokens = true;
  ExhaustedPolicy on_exhausted = ExhaustedPolicy::kError;
  std::string cache_dir = ".cache/tokens";

  template <class V>
  void visit(V& v) {
    v("sources", sources, "training data", rule::non_empty);
    v("evaluation", evaluation, "held-out sets, each evaluated under its name");
    v("context_length", context_length, "longest sequence", rule::in_range(2, 1 << 24),
      rule::unit("tokens"));
    v("packing", packing, "fill each sequence with several documents, masked from each other");
    v("on_overflow", on_overflow, "what to do with a sample longer than context_length");
    v("on_bad_line", on_bad_line, "what to do with a row that cannot be read");
    v("max_record_bytes", max_record_bytes, "longest line, CSV record or text document",
      rule::in_range(1, 1 << 30), rule::unit("bytes"));
    v("train_on", train_on, "which turns of a conversation are learned");
    v("append_eos", append_eos,
      "end each document, and each last answer that the chat template leaves open, with the "
      "end-of-sequence token");
    v("add_special_tokens", add_special_tokens,
      "let the tokenizer insert its own special tokens (usually BOS) into text documents");
    v("on_exhausted", on_exhausted, "when a source reaches max_epochs before the plan is full");
    v("cache_dir", cache_dir, "folder of the token cache", rule::non_empty, rule::path_cache);
  }
  void check(Problems& problems) const;
};

// How sequences become optimizer steps, and how many of them there are.
struct BatchRecipe {
  std::optional<int64_t> tokens_per_step = {};
  std::optional<int64_t> sequences_per_step = {};
  std::optional<int64_t> tokens_per_micro_batch = {};
  std::optional<int64_t> sequences_per_micro_batch = {};
  std::optional<double> epochs = {};
  std::optional<int64_t> tokens = {};
  std::optional<int64_t> steps = {};

  template <class V>
  void visit(V& v) {
    v("tokens_per_step", tokens_per_step, "tokens of one optimizer step, in whole sequences",
      rule::at_least(1));
    v("sequences_per_step", sequences_per_step, "sequences of one optimizer step",
      rule::at_least(1));
    v("tokens_per_micro_batch", tokens_per_micro_batch,
      "most tokens of one forward pass; default: data.context_length", rule::at_least(1));
    v("sequences_per_micro_batch", sequences_per_micro_batch, "most sequences of one forward pass",
      rule::at_least(1));
    v("epochs", epochs, "length of training: passes over the data (the default, 1)",
      rule::positive);
    v("tokens", tokens, "length of training: tokens", rule::at_least(1));
    v("steps", steps, "length of training: optimizer steps", rule::at_least(1));
  }
  void check(Problems& problems) const;
};

}  // namespace gradus
