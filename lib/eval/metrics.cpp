// SPDX-License-Identifier: Apache-2.0
#include "eval/metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "base/error.h"

namespace gradus {
namespace {

using Shape = MetricDefinition::Shape;

constexpr MetricDefinition kPerplexityMetrics[] = {
    {"token_perplexity", "nll", "tokens", Shape::kExpMean, false},
    {"word_perplexity", "nll", "words", Shape::kExpMean, false},
    {"byte_perplexity", "nll", "bytes", Shape::kExpMean, false},
    {"bits_per_byte", "nll", "bytes", Shape::kMean, false, 1 / std::numbers::ln2},
    {"loss", "nll", "tokens", Shape::kMean, false},
    {"document_loss", "mean_nll", "", Shape::kMean, false}};
constexpr MetricDefinition kMultipleChoiceMetrics[] = {
    {"acc", "acc", "", Shape::kRate, true},
    {"acc_norm", "acc_norm", "", Shape::kRate, true},
    {"acc_bytes", "acc_bytes", "", Shape::kRate, true},
    {"macro_f1", "", "", Shape::kMacroF1, true},
    {"exact_match", "exact_match", "", Shape::kRate, true},
    {"brier", "brier", "", Shape::kMean, false}};
constexpr MetricDefinition kGenerationMetrics[] = {
    {"exact_match", "exact_match", "", Shape::kRate, true},
    {"f1", "f1", "", Shape::kMean, true},
    {"strict_match", "strict_match", "", Shape::kRate, true}};

constexpr std::pair<TaskKind, const char*> kKindNames[] = {
    {TaskKind::kPerplexity, "perplexity"},
    {TaskKind::kMultipleChoice, "multiple_choice"},
    {TaskKind::kGeneration, "generation"}};

double score(const RowScores& row, const char* name) {
  const auto found = row.scores.find(name);
  return found == row.scores.end() ? std::nan("") : found->second;
}

std::vector<double> column(const TaskScores& task, const char* name) {
  std::vector<double> values;
  for (const RowScores& row : task.rows) values.push_back(*name == '\0' ? 1.0 : score(row, name));
  return values;
}

std::vector<size_t> clusters_of(const TaskScores& task) {
  std::vector<std::string> names;
  for (const RowScores& row : task.rows) names.push_back(row.cluster);
  return cluster_numbers(names);
}

double finish(double ratio, const MetricDefinition& metric) {
  return metric.shape == Shape::kExpMean ? std::exp(ratio * metric.scale) : ratio * metric.scale;
}

struct LabelCounts {
  std::vector<double> gold, predicted, correct;
};

LabelCounts count_labels(const std::vector<double>& gold, const std::vector<double>& predicted,
                         const std::vector<double>& weights, size_t labels) {
  LabelCounts counts{std::vector<double>(labels), std::vector<double>(labels),
                     std::vector<double>(labels)};
  for (size_t i = 0; i < gold.size(); ++i) {
    const auto g = static_cast<size_t>(gold[i]), p = static_cast<size_t>(predicted[i]);
    counts.gold[g] += weights[i];
    counts.predicted[p] += weights[i];
    if (g == p) counts.correct[g] += weights[i];
  }
  return counts;
}

// 2·TP / (gold + predicted); 0 when never right, as scikit-learn's zero_division=0.
double f1_of(const LabelCounts& counts, size_t label) {
  const double total = counts.gold[label] + counts.predicted[label];
  return total > 0 ? 2 * counts.correct[label] / total : 0;
}

// Mean over the labels that occur in the gold answers or the predictions.
double macro_f1(const LabelCounts& counts) {
  double sum = 0, present = 0;
  for (size_t label = 0; label < counts.gold.size(); ++label) {
    if (counts.gold[label] + counts.predicted[label] == 0) continue;
    sum += f1_of(counts, label);
    present += 1;
  }
  return present > 0 ? sum / present : std::nan("");
}

using Statistic = std::function<double(const std::vector<double>&)>;

// The metric as a function of how often each row counts.
Statistic statistic_of(const TaskScores& task, const MetricDefinition& metric) {
  if (metric.shape == Shape::kMacroF1) {
    return [gold = column(task, "gold"), predicted = column(task, "predicted"),
            labels = task.labels.size()](const std::vector<double>& weights) {
      return macro_f1(count_labels(gold, predicted, weights, labels));
    };
  }
  return [top = column(task, metric.numerator), bottom = column(task, metric.denominator),
          metric](const std::vector<double>& weights) {
    double numerator = 0, denominator = 0;
    for (size_t i = 0; i < weights.size(); ++i) {
      numerator += weights[i] * top[i];
      denominator += weights[i] * bottom[i];
    }
    return finish(numerator / denominator, metric);
  };
}

// A symmetric interval on the scale of the mean, cut to what the metric can be (no mean here is
// negative, and F1 is at most 1), carried through exp.
Interval mean_interval(const RatioEstimate& ratio, const MetricDefinition& metric,
                       double confidence) {
  const double half = normal_quantile(confidence) * ratio.standard_error;
  const double most = metric.higher_is_better ? 1.0 : std::numeric_limits<double>::infinity();
  return {finish(std::max(ratio.value - half, 0.0), metric),
          finish(std::min(ratio.value + half, most), metric)};
}

double mcnemar(const TaskScores& task, const TaskScores& baseline, const MetricDefinition& metric) {
  if (metric.shape != Shape::kRate) return std::nan("");
  int64_t won = 0, lost = 0;
  for (size_t i = 0; i < task.rows.size(); ++i) {
    const double difference =
        score(task.rows[i], metric.numerator) - score(baseline.rows[i], metric.numerator);
    won += difference > 0;
    lost += difference < 0;
  }
  return mcnemar_p(won, lost);
}

}  // namespace

std::string to_string(TaskKind kind) {
  for (const auto& [value, name] : kKindNames) {
    if (value == kind) return name;
  }
  throw std::logic_error("TaskKind without a name");
}

TaskKind task_kind(const std::string& name, const std::string& where) {
  for (const auto& [value, known] : kKindNames) {
    if (known == name) return value;
  }
  throw Error({.what = "unknown kind of task", .where = where, .found = printable(name)});
}

std::span<const MetricDefinition> metric_definitions(TaskKind kind) {
  switch (kind) {
    case TaskKind::kPerplexity:
      return kPerplexityMetrics;
    case TaskKind::kMultipleChoice:
      return kMultipleChoiceMetrics;
    case TaskKind::kGeneration:
      return kGenerationMetrics;
  }
  throw std::logic_error("TaskKind without metrics");
}

std::vector<MetricDefinition> metrics_of(const TaskScores& task) {
  std::vector<MetricDefinition> metrics;
  for (const MetricDefinition& metric : metric_definitions(task.kind)) {
    if (metric.shape != Shape::kMacroF1 || !task.labels.empty()) metrics.push_back(metric);
  }
  return metrics;
}

const MetricDefinition& find_metric(TaskKind kind, const std::string& name,
                                    const std::string& where) {
  std::vector<std::string> names;
  for (const MetricDefinition& metric : metric_definitions(kind)) {
    if (metric.name == name) return metric;
    names.push_back(metric.name);
  }
  const std::string near = nearest_name(name, names);
  std::string all;
  for (const std::string& known : names) all += (all.empty() ? "" : ", ") + known;
  throw Error({.what = "a " + to_string(kind) + " task has no such metric",
               .where = where,
               .expected = all,
               .found = printable(name),
               .hint = near.empty() ? "" : "did you mean " + near + "?"});
}

MetricValue evaluate_metric(const TaskScores& task, const MetricDefinition& metric,
                            const BootstrapOptions& options) {
  const std::vector<size_t> clusters = clusters_of(task);
  const Statistic statistic = statistic_of(task, metric);
  MetricValue result{statistic(std::vector<double>(task.rows.size(), 1.0)), {}};
  if (metric.shape == Shape::kMacroF1) {
    result.interval = bootstrap_interval(clusters, statistic, options);
    return result;
  }
  const RatioEstimate ratio =
      ratio_estimate(column(task, metric.numerator), column(task, metric.denominator), clusters);
  result.interval =
      metric.shape == Shape::kRate
          ? rate_interval(ratio, static_cast<int64_t>(task.rows.size()), options.confidence)
          : mean_interval(ratio, metric, options.confidence);
  return result;
}

void require_same_kind(const TaskScores& baseline, TaskKind kind) {
  if (baseline.kind == kind) return;
  throw Error({.what = "the baseline's task is of another kind",
               .where = "task " + baseline.name,
               .expected = to_string(kind),
               .found = to_string(baseline.kind)});
}

void require_same_rows(const TaskScores& baseline, const std::vector<std::string>& digests) {
  const auto same = [](const RowScores& row, const std::string& digest) {
    return row.digest == digest;
  };
  if (std::equal(baseline.rows.begin(), baseline.rows.end(), digests.begin(), digests.end(), same))
    return;
  throw Error({.what = "the baseline was evaluated on other rows",
               .where = "task " + baseline.name,
               .expected = cat(digests.size(), " rows"),
               .found = cat(baseline.rows.size(), " rows"),
               .hint = "evaluate both on the same data with the same limit"});
}

PairedDifference compare_metric(const TaskScores& task, const TaskScores& baseline,
                                const MetricDefinition& metric, const BootstrapOptions& options) {
  std::vector<std::string> digests;
  for (const RowScores& row : task.rows) digests.push_back(row.digest);
  require_same_rows(baseline, digests);
  const Statistic own = statistic_of(task, metric), other = statistic_of(baseline, metric);
  const std::vector<double> once(task.rows.size(), 1.0);
  PairedDifference result{.value = own(once), .baseline = other(once), .interval = {}};
  result.difference = result.value - result.baseline;
  result.interval = bootstrap_interval(
      clusters_of(task),
      [&](const std::vector<double>& weights) { return own(weights) - other(weights); }, options);
  result.p_value = mcnemar(task, baseline, metric);
  return result;
}

Json label_report(const TaskScores& task) {
  const std::vector<double> gold = column(task, "gold"), predicted = column(task, "predicted");
  const size_t labels = task.labels.size();
  const LabelCounts counts =
      count_labels(gold, predicted, std::vector<double>(gold.size(), 1.0), labels);
  const auto share = [](double part, double whole) { return whole > 0 ? part / whole : 0.0; };
  Json per_label = Json::object();
  std::vector<std::vector<int64_t>> confusion(labels, std::vector<int64_t>(labels));
  for (size_t i = 0; i < gold.size(); ++i)
    ++confusion[static_cast<size_t>(gold[i])][static_cast<size_t>(predicted[i])];
  for (size_t label = 0; label < labels; ++label) {
    per_label[task.labels[label]] = {
        {"precision", share(counts.correct[label], counts.predicted[label])},
        {"recall", share(counts.correct[label], counts.gold[label])},
        {"f1", f1_of(counts, label)},
        {"rows", static_cast<int64_t>(counts.gold[label])}};
  }
  const auto top = std::max_element(counts.gold.begin(), counts.gold.end());
  return {{"labels", per_label},
          {"confusion", {{"labels", task.labels}, {"gold_by_predicted", confusion}}},
          {"majority",
           {{"label", task.labels[static_cast<size_t>(top - counts.gold.begin())]},
            {"acc", *top / static_cast<double>(gold.size())}}}};
}

double number_or_nan(const Json& object, const std::string& key, const std::string& where) {
  const bool unknown = object.is_object() && object.contains(key) && object.at(key).is_null();
  return unknown ? std::nan("") : json_get<double>(object, key, where);
}

Json metric_json(const MetricValue& value, const MetricDefinition& metric) {
  return {{"value", value.value},
          {"low", value.interval.low},
          {"high", value.interval.high},
          {"higher_is_better", metric.higher_is_better}};
}

}  // namespace gradus
