// SPDX-License-Identifier: Apache-2.0
#include "data/training_data.h"

#include "base/error.h"
#include "base/log.h"
#include "base/system.h"

namespace gradus {
namespace {

PackedSource pack(const SourceRecipe& source, const DataRecipe& data, const TextTools& tools,
                  std::optional<uint64_t> seed) {
  return {open_source(source, data, tools),
          {.context_length = data.context_length,
           .on_overflow = source.on_overflow.value_or(data.on_overflow),
           .packing = data.packing ? Packing::kPacked : Packing::kOneDocument,
           .seed = seed}};
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

std::vector<SourceReport> TrainingData::reports() const {
  std::vector<SourceReport> all = plan.reports();
  for (auto& report : reports_of(evaluation)) all.push_back(std::move(report));
  return all;
}

Json TrainingData::report() const {
  return {
      {"sources", reports_json(plan.reports())},
      {"evaluation", reports_json(reports_of(evaluation))},
      {"plan",
       {{"steps", plan.steps()}, {"tokens", plan.tokens()}, {"ended_early", plan.ended_early()}}}};
}

std::string TrainingData::table() const {
  return cat(report_table(reports()), "plan: ", with_commas(plan.steps()), " steps, ",
             with_commas(plan.tokens()), " tokens",
             plan.ended_early().empty() ? "" : "; ends early: " + plan.ended_early());
}

TrainingData load_training_data(const DataRecipe& data, const BatchRecipe& batch,
                                const TextTools& tools, uint64_t seed) {
  std::vector<PackedSource> sources;
  for (const auto& source : data.sources) sources.push_back(pack(source, data, tools, seed));
  TrainingPlan plan(std::move(sources), {.batch = batch,
                                         .context_length = data.context_length,
                                         .on_exhausted = data.on_exhausted,
                                         .seed = seed});
  if (!plan.ended_early().empty())
    log_warning("data", "the plan ends early: " + plan.ended_early());
  const int64_t most = batch.tokens_per_micro_batch.value_or(data.context_length);
  std::vector<EvaluationSet> evaluation;
  for (const auto& source : data.evaluation)
    evaluation.emplace_back(pack(source, data, tools, std::nullopt), most);
  return {std::move(plan), std::move(evaluation)};
}

}  // namespace gradus
