// SPDX-License-Identifier: Apache-2.0
// Several evaluations as one table: models down, metrics and cost across, with the Pareto set of
// quality against cost.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "eval/evaluate.h"

namespace gradus {

struct ReportColumn {
  std::string task, metric;
  bool higher_is_better = true;
  std::string title() const { return task + " " + metric; }
};

struct ReportRow {
  std::string label;
  std::vector<std::optional<MetricValue>> cells = {};  // per column
  std::optional<double> weight_bytes = {}, parameters = {};
  std::optional<double> prefill_tokens_per_second = {}, decode_tokens_per_second = {};
  std::optional<double> peak_memory_bytes = {};
  std::vector<std::string> refused_gates = {};  // their lines
  int64_t gates = 0;
  bool reference = false;  // not a model: the majority label
  bool pareto = false;
};

struct Report {
  std::string title;
  std::vector<ReportColumn> columns;
  std::vector<ReportRow> rows;
  std::optional<size_t> quality;  // column of the Pareto set
  std::string cost;               // its other side, a member of ReportRow
  double confidence = 0.95;
};

// Throws gradus::Error for folders that hold no evaluation, metrics that none has, and a task that
// was not evaluated on the same data with the same number of rows and confidence everywhere.
Report build_report(const CompareRecipe& recipe);

Json report_json(const Report& report);
// The part that depends on models and data only.
Json quality_json(const Report& report);
std::string report_text(const Report& report);
// One page without outside parts: light and dark, prints, tells things apart by shape and text as
// well as by colour.
std::string report_html(const Report& report);

// quality.json, report.json, report.txt and report.html into an existing folder.
void write_report(const fs::path& folder, const Report& report);

// The cost of a row that report.cost names.
std::optional<double> cost_of(const Report& report, const ReportRow& row);
// "0.731", "17.1"; "257 MiB", "98.6": a number and a cost for people.
std::string short_number(double value);
std::string cost_text(const std::string& cost, std::optional<double> value);

}  // namespace gradus
