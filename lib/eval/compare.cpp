// SPDX-License-Identifier: Apache-2.0
#include "eval/compare.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace gradus {
namespace {

struct Source {
  std::string label;
  Json results, performance;
};

std::vector<std::string> labels_in_order(const CompareRecipe& recipe) {
  std::vector<std::string> labels = recipe.order;
  for (const auto& entry : recipe.results) {
    if (std::find(labels.begin(), labels.end(), entry.first) == labels.end())
      labels.push_back(entry.first);
  }
  return labels;
}

std::vector<Source> read_sources(const CompareRecipe& recipe) {
  std::vector<Source> sources;
  for (const std::string& label : labels_in_order(recipe)) {
    const fs::path folder = recipe.results.at(label);
    Source source{label, read_results(folder), Json::object()};
    if (fs::exists(folder / "performance.json"))
      source.performance = read_json(folder / "performance.json");
    sources.push_back(std::move(source));
  }
  return sources;
}

ReportColumn column_of(const std::string& task, const std::string& kind_name,
                       const std::string& metric) {
  const TaskKind kind = task_kind(kind_name, task);
  const MetricDefinition& definition =
      metric.empty() ? metric_definitions(kind).front() : find_metric(kind, metric, task);
  return {task, definition.name, definition.higher_is_better};
}

std::string kind_of(const std::vector<Source>& sources, const std::string& task) {
  for (const Source& source : sources) {
    const Json& tasks = source.results["tasks"];
    if (tasks.contains(task)) return tasks.at(task).value("kind", "");
  }
  throw Error({.what = "no evaluation has this task", .where = "metrics: " + task});
}

std::vector<ReportColumn> chosen_columns(const CompareRecipe& recipe,
                                         const std::vector<Source>& sources) {
  std::vector<ReportColumn> columns;
  for (const std::string& name : recipe.metrics) {
    const size_t dot = name.find('.');
    const std::string task = name.substr(0, dot);
    const std::string metric = dot == std::string::npos ? "" : name.substr(dot + 1);
    columns.push_back(column_of(task, kind_of(sources, task), metric));
  }
  if (!columns.empty()) return columns;
  for (const Source& source : sources) {
    for (const auto& [task, value] : source.results["tasks"].items()) {
      const std::string& name = task;
      const bool known = std::any_of(columns.begin(), columns.end(),
                                     [&](const ReportColumn& c) { return c.task == name; });
      if (!known) columns.push_back(column_of(task, value.value("kind", ""), ""));
    }
  }
  return columns;
}

std::optional<MetricValue> cell(const Source& source, const ReportColumn& column) {
  const Json& tasks = source.results["tasks"];
  if (!tasks.contains(column.task)) return std::nullopt;
  const std::string where = source.label + ": " + column.task;
  const Json metrics = json_get<Json>(tasks.at(column.task), "metrics", where);
  if (!metrics.contains(column.metric)) return std::nullopt;
  const Json& metric = metrics.at(column.metric);
  return MetricValue{number_or_nan(metric, "value", where),
                     {number_or_nan(metric, "low", where), number_or_nan(metric, "high", where)}};
}

std::optional<double> number(const Json& object, const char* key) {
  if (!object.is_object() || !object.contains(key) || !object.at(key).is_number())
    return std::nullopt;
  return object.at(key).get<double>();
}

void add_gates(const Json& document, const std::string& where, ReportRow& row) {
  const Json gates = json_get<Json>(document, "gates", Json::array(), where);
  for (const Json& gate : gates) {
    ++row.gates;
    if (!json_get<bool>(gate, "passed", where))
      row.refused_gates.push_back(json_get<std::string>(gate, "text", where));
  }
}

ReportRow row_of(const Source& source, const std::vector<ReportColumn>& columns) {
  ReportRow row{.label = source.label, .cells = {}, .refused_gates = {}};
  for (const ReportColumn& column : columns) row.cells.push_back(cell(source, column));
  const Json model = json_get<Json>(source.results, "model", source.label);
  row.weight_bytes = number(model, "weight_bytes");
  row.parameters = number(model, "parameters");
  row.prefill_tokens_per_second = number(source.performance, "prefill_tokens_per_second");
  row.decode_tokens_per_second = number(source.performance, "decode_tokens_per_second");
  row.peak_memory_bytes = number(source.performance, "peak_memory_bytes");
  add_gates(source.results, source.label, row);
  add_gates(source.performance, source.label, row);
  return row;
}

// What must be equal for two results of a task to stand in one column; prompts may differ.
std::string measured_on(const Source& source, const Json& task) {
  std::string text = cat(task.value("rows", Json()).dump(), " rows");
  const Json files = json_get<Json>(task, "data", Json::array(), source.label);
  for (const Json& file : files)
    text += cat(" of ", json_get<std::string>(file, "sha256", source.label).substr(0, 16));
  const Json settings = json_get<Json>(source.results, "settings", Json::object(), source.label);
  return text + cat(", confidence ", settings.value("confidence", Json()).dump());
}

void require_same_data(const std::vector<Source>& sources, const std::string& task) {
  const Source* first = nullptr;
  std::string expected;
  for (const Source& source : sources) {
    const Json& tasks = source.results["tasks"];
    if (!tasks.contains(task)) continue;
    const std::string found = measured_on(source, tasks.at(task));
    if (!first) first = &source, expected = found;
    if (found == expected) continue;
    throw Error({.what = "two evaluations of a task cannot be compared: their data, row counts or "
                         "confidence differ",
                 .where = "task " + task,
                 .expected = first->label + ": " + expected,
                 .found = source.label + ": " + found,
                 .hint = "evaluate both on the same data, or leave one out"});
  }
}

// What always giving the most frequent answer reaches, from the first evaluation of each task.
std::optional<ReportRow> majority_row(const std::vector<Source>& sources,
                                      const std::vector<ReportColumn>& columns) {
  ReportRow row{.label = "majority label", .cells = {}, .refused_gates = {}, .reference = true};
  bool any = false;
  for (const ReportColumn& column : columns) {
    row.cells.emplace_back();
    if (column.metric != "acc") continue;
    for (const Source& source : sources) {
      const Json& tasks = source.results["tasks"];
      if (!tasks.contains(column.task) || !tasks.at(column.task).contains("majority")) continue;
      const double acc = json_get<double>(tasks.at(column.task).at("majority"), "acc", column.task);
      row.cells.back() = MetricValue{acc, {acc, acc}};
      any = true;
      break;
    }
  }
  return any ? std::optional(std::move(row)) : std::nullopt;
}

std::optional<size_t> quality_column(const CompareRecipe& recipe,
                                     const std::vector<ReportColumn>& columns) {
  for (size_t i = 0; i < columns.size(); ++i) {
    const bool chosen = recipe.pareto_quality.empty()
                            ? columns[i].higher_is_better
                            : columns[i].task + "." + columns[i].metric == recipe.pareto_quality;
    if (chosen) return i;
  }
  if (recipe.pareto_quality.empty())
    return columns.empty() ? std::nullopt : std::optional(size_t{0});
  throw Error({.what = "is not a column of the table",
               .where = "pareto_quality",
               .found = recipe.pareto_quality});
}

// Quality and cost of a row, both better when higher; nothing when one is unknown.
std::optional<std::pair<double, double>> goodness(const Report& report, const ReportRow& row) {
  const auto cost = cost_of(report, row);
  if (row.reference || !cost || !report.quality || !row.cells[*report.quality]) return std::nullopt;
  const double quality = row.cells[*report.quality]->value;
  if (!std::isfinite(quality)) return std::nullopt;
  const bool more = report.cost == "decode_tokens_per_second";
  return std::pair(report.columns[*report.quality].higher_is_better ? quality : -quality,
                   more ? *cost : -*cost);
}

void mark_pareto(Report& report) {
  for (ReportRow& row : report.rows) {
    const auto own = goodness(report, row);
    row.pareto = own.has_value();
    for (const ReportRow& other : report.rows) {
      const auto its = goodness(report, other);
      if (!own || !its || *own == *its) continue;
      if (its->first >= own->first && its->second >= own->second) row.pareto = false;
    }
  }
}

}  // namespace

std::optional<double> cost_of(const Report& report, const ReportRow& row) {
  if (report.cost == "weight_bytes") return row.weight_bytes;
  if (report.cost == "peak_memory_bytes") return row.peak_memory_bytes;
  return row.decode_tokens_per_second;
}

Report build_report(const CompareRecipe& recipe) {
  const std::vector<Source> sources = read_sources(recipe);
  Report report{.title = recipe.title,
                .columns = chosen_columns(recipe, sources),
                .rows = {},
                .quality = {},
                .cost = recipe.pareto_cost};
  for (const ReportColumn& column : report.columns) require_same_data(sources, column.task);
  report.confidence =
      sources.front().results.value("settings", Json::object()).value("confidence", 0.95);
  if (auto row = majority_row(sources, report.columns)) report.rows.push_back(std::move(*row));
  for (const Source& source : sources) report.rows.push_back(row_of(source, report.columns));
  report.quality = quality_column(recipe, report.columns);
  mark_pareto(report);
  return report;
}

}  // namespace gradus
