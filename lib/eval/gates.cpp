// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <iomanip>

#include "base/error.h"
#include "eval/evaluate.h"

// check_gates (gate_check.cpp) has found before the evaluation that every number will be there.
namespace gradus {
namespace {

// "task.metric" in two.
struct MetricPath {
  std::string owner, metric;
};

MetricPath split_metric(const std::string& text) {
  const size_t dot = text.find('.');
  return {text.substr(0, dot), text.substr(dot + 1)};
}

// null when there is none.
const Json& member(const Json& object, const std::string& key) {
  static const Json none;
  return object.is_object() && object.contains(key) ? object.at(key) : none;
}

double number_at(const Json& object, const std::string& key, const std::string& where) {
  const Json& number = member(object, key);
  if (number.is_number()) return number.get<double>();
  throw Error({.what = "there is no such number", .where = "gates: " + where});
}

double metric_value(const std::string& metric, const Json& results, const Json& performance) {
  const MetricPath path = split_metric(metric);
  if (path.owner == "model") return number_at(member(results, "model"), path.metric, metric);
  if (path.owner == "performance") return number_at(performance, path.metric, metric);
  const Json& task = member(member(results, "tasks"), path.owner);
  return number_at(member(member(task, "metrics"), path.metric), "value", metric);
}

std::string number_text(double value) {
  std::ostringstream text;
  text << std::setprecision(6) << value;
  return text.str();
}

std::string gate_text(const GateOutcome& gate, const std::string& rule, const std::string& more) {
  return cat("gate '", gate.name, "' ", gate.passed ? "passed" : "refused", ": ", gate.metric,
             " = ", number_text(gate.value), ", ", rule, " ", number_text(gate.bound), more);
}

GateOutcome start_outcome(const GateRecipe& gate, const std::string& rule) {
  return {.name = gate.name.empty() ? gate.metric + " " + rule : gate.name,
          .metric = gate.metric,
          .rule = rule,
          .text = {}};
}

GateOutcome judge_bound(const GateRecipe& gate, double value) {
  GateOutcome outcome = start_outcome(gate, gate.minimum ? "minimum" : "maximum");
  outcome.value = value;
  outcome.bound = gate.minimum ? *gate.minimum : *gate.maximum;
  outcome.passed = gate.minimum ? value >= outcome.bound : value <= outcome.bound;  // not for NaN
  outcome.text = gate_text(outcome, outcome.rule, "");
  return outcome;
}

const Json& paired_difference(const GateRecipe& gate, const Json& results) {
  const MetricPath path = split_metric(gate.metric);
  const Json& tasks = member(member(member(results, "comparisons"), gate.baseline()), "tasks");
  const Json& paired = member(member(tasks, path.owner), path.metric);
  if (paired.is_object()) return paired;
  throw Error({.what = "the baseline has no samples of this task to compare with",
               .where = "gates: " + gate.metric,
               .found = "baseline " + gate.baseline(),
               .hint = "evaluate the baseline with the same task and samples: true"});
}

std::string difference_text(const Json& paired) {
  return cat("; difference ", number_text(paired["difference"].get<double>()), " [",
             number_text(paired["low"].get<double>()), ", ",
             number_text(paired["high"].get<double>()), "]");
}

GateOutcome judge_no_worse(const GateRecipe& gate, const Json& results) {
  const NoWorseRecipe& rule = *gate.no_worse_than;
  const Json& paired = paired_difference(gate, results);
  const bool higher = paired["higher_is_better"].get<bool>();
  const double baseline = paired["baseline"].get<double>();
  const double allowed = rule.by + rule.by_ratio * std::abs(baseline);
  GateOutcome outcome = start_outcome(gate, "no_worse_than");
  outcome.value = paired["value"].get<double>();
  outcome.bound = higher ? baseline - allowed : baseline + allowed;
  // The end of the interval that speaks for this model.
  const double change = rule.within_interval ? paired[higher ? "high" : "low"].get<double>()
                                             : paired["difference"].get<double>();
  outcome.passed = higher ? change >= -allowed : change <= allowed;
  outcome.text = gate_text(
      outcome, cat("no worse than ", rule.baseline, " (", number_text(baseline), "): bound"),
      difference_text(paired) + (rule.within_interval ? ", judged by its interval" : ""));
  return outcome;
}

GateOutcome judge_better(const GateRecipe& gate, const Json& results) {
  const BetterRecipe& rule = *gate.better_than;
  const Json& paired = paired_difference(gate, results);
  const bool higher = paired["higher_is_better"].get<bool>();
  const double baseline = paired["baseline"].get<double>();
  const double needed = rule.by + rule.by_ratio * std::abs(baseline);
  const double difference = paired["difference"].get<double>();
  GateOutcome outcome = start_outcome(gate, "better_than");
  outcome.value = paired["value"].get<double>();
  outcome.bound = higher ? baseline + needed : baseline - needed;
  outcome.passed = higher ? difference > needed : difference < -needed;
  outcome.text = gate_text(
      outcome,
      cat("better than ", rule.baseline, " (", number_text(baseline), "): beyond the bound"),
      difference_text(paired));
  return outcome;
}

GateOutcome judge(const GateRecipe& gate, const Json& results, const Json& performance) {
  if (gate.no_worse_than) return judge_no_worse(gate, results);
  if (gate.better_than) return judge_better(gate, results);
  return judge_bound(gate, metric_value(gate.metric, results, performance));
}

}  // namespace

std::vector<GateOutcome> judge_gates(const EvalRecipe& recipe, const Json& results,
                                     const Json& performance) {
  std::vector<GateOutcome> outcomes;
  for (const GateRecipe& gate : recipe.gates) outcomes.push_back(judge(gate, results, performance));
  return outcomes;
}

Json gates_json(const std::vector<GateOutcome>& gates) {
  Json list = Json::array();
  for (const GateOutcome& gate : gates) {
    list.push_back({{"name", gate.name},
                    {"metric", gate.metric},
                    {"rule", gate.rule},
                    {"bound", gate.bound},
                    {"value", gate.value},
                    {"passed", gate.passed},
                    {"text", gate.text}});
  }
  return list;
}

}  // namespace gradus
