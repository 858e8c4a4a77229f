// SPDX-License-Identifier: Apache-2.0
#include "data/recipe.h"

#include <set>

namespace gradus {
namespace {

void check_names(const std::vector<SourceRecipe>& sources, const std::string& list,
                 Problems& problems) {
  std::set<std::string> seen;
  for (size_t i = 0; i < sources.size(); ++i) {
    if (!seen.insert(sources[i].name).second)
      problems.add(list + "." + std::to_string(i) + ".name",
                   "the name '" + sources[i].name + "' is used twice");
  }
}

void check_shares(const std::vector<SourceRecipe>& sources, Problems& problems) {
  size_t given = 0;
  for (const auto& source : sources) given += source.share.has_value();
  if (given == 0 || given == sources.size()) return;
  problems.add("sources", "either all sources have a share, or none");
}

// Held-out sets are read once and in order, so keys about mixing would have no effect.
void check_unmixed(const std::vector<SourceRecipe>& evaluation, Problems& problems) {
  for (size_t i = 0; i < evaluation.size(); ++i) {
    const std::string entry = "evaluation." + std::to_string(i);
    if (evaluation[i].share) problems.add(entry + ".share", "held-out sets are not mixed");
    if (evaluation[i].max_epochs)
      problems.add(entry + ".max_epochs", "held-out sets are not repeated");
  }
}

}  // namespace

std::span<const EnumName<FileFormat>> enum_names(FileFormat) {
  static constexpr EnumName<FileFormat> kNames[] = {{"auto", FileFormat::kAuto},
                                                    {"jsonl", FileFormat::kJsonLines},
                                                    {"text", FileFormat::kText},
                                                    {"csv", FileFormat::kCsv}};
  return kNames;
}

std::span<const EnumName<RowShape>> enum_names(RowShape) {
  static constexpr EnumName<RowShape> kNames[] = {{"auto", RowShape::kAuto},
                                                  {"text", RowShape::kText},
                                                  {"alpaca", RowShape::kAlpaca},
                                                  {"sharegpt", RowShape::kShareGpt},
                                                  {"messages", RowShape::kMessages}};
  return kNames;
}

std::span<const EnumName<OverflowPolicy>> enum_names(OverflowPolicy) {
  static constexpr EnumName<OverflowPolicy> kNames[] = {{"error", OverflowPolicy::kError},
                                                        {"split", OverflowPolicy::kSplit},
                                                        {"drop", OverflowPolicy::kDrop}};
  return kNames;
}

std::span<const EnumName<BadLinePolicy>> enum_names(BadLinePolicy) {
  static constexpr EnumName<BadLinePolicy> kNames[] = {{"error", BadLinePolicy::kError},
                                                       {"skip", BadLinePolicy::kSkip}};
  return kNames;
}

std::span<const EnumName<TrainOn>> enum_names(TrainOn) {
  static constexpr EnumName<TrainOn> kNames[] = {{"last_assistant", TrainOn::kLastAssistant},
                                                 {"all_assistant", TrainOn::kAllAssistant},
                                                 {"everything", TrainOn::kEverything}};
  return kNames;
}

std::span<const EnumName<ExhaustedPolicy>> enum_names(ExhaustedPolicy) {
  static constexpr EnumName<ExhaustedPolicy> kNames[] = {{"error", ExhaustedPolicy::kError},
                                                         {"stop", ExhaustedPolicy::kStop}};
  return kNames;
}

void DataRecipe::check(Problems& problems) const {
  check_names(sources, "sources", problems);
  check_names(evaluation, "evaluation", problems);
  check_shares(sources, problems);
  check_unmixed(evaluation, problems);
}

void BatchRecipe::check(Problems& problems) const {
  if (tokens_per_step.has_value() == sequences_per_step.has_value())
    problems.add("", "exactly one of tokens_per_step and sequences_per_step must be given");
  if (epochs.has_value() + tokens.has_value() + steps.has_value() > 1)
    problems.add("", "at most one of epochs, tokens and steps may be given");
}

}  // namespace gradus
