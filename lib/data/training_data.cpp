// SPDX-License-Identifier: Apache-2.0
#include "data/training_data.h"

#include "base/error.h"
#include "base/log.h"
#include "base/system.h"

namespace gradus {
namespace {

PackingOptions packing_options(const DataRecipe& data, std::optional<uint64_t> seed) {
  return {.context_length = data.context_length,
          .on_overflow = data.on_overflow,
          .packing = data.packing ? Packing::kPacked : Packing::kOneDocument,
          .seed = seed};
}

Json reports_json(const std::vector<SourceReport>& reports) {
  Json json = Json::array();
  for (const auto& report : reports) json.push_back(report_json(report));
  return json;
}

std::vector<SourceReport> reports_of(const std::vector<EvaluationSet>& sets) {
  std::vector<SourceReport> reports;
  for (const auto& set : sets) reports.push_back(set.report());
  return reports;
}

}  // namespace

Json TrainingData::report() const {
  return {
      {"sources", reports_json(plan.reports())},
      {"evaluation", reports_json(reports_of(evaluation))},
      {"plan",
       {{"steps", plan.steps()}, {"tokens", plan.tokens()}, {"ended_early", plan.ended_early()}}}};
}

std::string TrainingData::table() const {
  std::vector<SourceReport> all = plan.reports();
  for (auto& report : reports_of(evaluation)) all.push_back(std::move(report));
  return cat(report_table(all), "plan: ", with_commas(plan.steps()), " steps, ",
             with_commas(plan.tokens()), " tokens",
             plan.ended_early().empty() ? "" : "; ends early: " + plan.ended_early(), "\n");
}

Json TrainingData::lineage() const {
  Json entries = Json::array();
  for (const auto& report : plan.reports()) entries.push_back(lineage_json(report));
  return entries;
}

TrainingData load_training_data(const DataRecipe& data, const BatchRecipe& batch,
                                const TextTools& tools, uint64_t seed) {
  std::vector<PackedSource> sources;
  for (const auto& source : data.sources)
    sources.emplace_back(open_source(source, data, tools), packing_options(data, seed));
  const PlanOptions options{.batch = batch,
                            .context_length = data.context_length,
                            .on_exhausted = data.on_exhausted,
                            .seed = seed};
  TrainingPlan plan(std::move(sources), options);
  if (!plan.ended_early().empty())
    log_warning("data", "the plan ends early: " + plan.ended_early());
  const int64_t most = batch.tokens_per_micro_batch.value_or(data.context_length);
  return {std::move(plan), load_evaluation_sets(data, tools, most)};
}

std::vector<EvaluationSet> load_evaluation_sets(const DataRecipe& data, const TextTools& tools,
                                                int64_t most_batch_tokens) {
  std::vector<EvaluationSet> sets;
  for (const auto& source : data.evaluation) {
    sets.emplace_back(
        PackedSource(open_source(source, data, tools), packing_options(data, std::nullopt)),
        most_batch_tokens);
  }
  return sets;
}

}  // namespace gradus
