// SPDX-License-Identifier: Apache-2.0
// From numbers per row to metrics with intervals, and to paired comparisons of two evaluations on
// the same rows.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "eval/statistics.h"

namespace gradus {

enum class TaskKind { kPerplexity, kMultipleChoice, kGeneration };
std::string to_string(TaskKind kind);
TaskKind task_kind(const std::string& name, const std::string& where);

struct RowScores {
  std::string digest;   // of the row
  std::string cluster;  // "" when it stands alone
  std::map<std::string, double> scores;
  Json details = Json::object();  // for samples.jsonl only
};

struct TaskScores {
  std::string name;
  TaskKind kind = TaskKind::kPerplexity;
  std::vector<RowScores> rows;
  std::vector<std::string> labels = {};  // those that all rows share, else empty
};

// Σ numerator / Σ denominator over rows, times scale, then exp where wanted.
struct MetricDefinition {
  enum class Shape { kRate, kMean, kExpMean, kMacroF1 };
  const char* name;
  const char* numerator;
  const char* denominator;  // "": the number of rows
  Shape shape;
  bool higher_is_better;
  double scale = 1;
};

// In the order of importance: the first is the task's main metric.
std::span<const MetricDefinition> metric_definitions(TaskKind kind);
// Those that apply: macro F1 needs shared labels.
std::vector<MetricDefinition> metrics_of(const TaskScores& task);
// Throws gradus::Error with the nearest name.
const MetricDefinition& find_metric(TaskKind kind, const std::string& name,
                                    const std::string& where);

struct MetricValue {
  double value = 0;
  Interval interval;
};
MetricValue evaluate_metric(const TaskScores& task, const MetricDefinition& metric,
                            const BootstrapOptions& options);

// This evaluation minus the baseline, row by row.
struct PairedDifference {
  double value = 0, baseline = 0, difference = 0;
  Interval interval;   // of the difference, bootstrap over clusters
  double p_value = 0;  // McNemar's exact test for rates (rows taken as independent), else NaN
};
// Throw gradus::Error when a baseline's task is of another kind, or holds other rows than those
// with these digests in this order.
void require_same_kind(const TaskScores& baseline, TaskKind kind);
void require_same_rows(const TaskScores& baseline, const std::vector<std::string>& digests);
// Throws gradus::Error when the two do not hold the same rows.
PairedDifference compare_metric(const TaskScores& task, const TaskScores& baseline,
                                const MetricDefinition& metric, const BootstrapOptions& options);

// Precision, recall and F1 per label, confusion[gold][predicted], and the share of the most
// frequent label.
Json label_report(const TaskScores& task);

Json metric_json(const MetricValue& value, const MetricDefinition& metric);
// A number that may be null: JSON has no other way to write one that is not finite. Then NaN.
double number_or_nan(const Json& object, const std::string& key, const std::string& where);
// Per-row numbers as lines of samples.jsonl and back.
Json sample_json(const TaskScores& task, const RowScores& row);
std::map<std::string, TaskScores> read_samples(const fs::path& file, const Json& results);

}  // namespace gradus
