// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <iomanip>

#include "base/error.h"
#include "base/system.h"
#include "eval/compare.h"
#include "text/unicode.h"

namespace gradus {
namespace {

Json optional_json(std::optional<double> value) { return value ? Json(*value) : Json(nullptr); }

Json columns_json(const Report& report) {
  Json columns = Json::array();
  for (const ReportColumn& column : report.columns)
    columns.push_back({{"task", column.task},
                       {"metric", column.metric},
                       {"higher_is_better", column.higher_is_better}});
  return columns;
}

Json cells_json(const Report& report, const ReportRow& row) {
  Json cells = Json::object();
  for (size_t i = 0; i < report.columns.size(); ++i) {
    const std::string key = report.columns[i].task + "." + report.columns[i].metric;
    const auto& cell = row.cells[i];
    cells[key] = cell ? Json{{"value", cell->value},
                             {"low", cell->interval.low},
                             {"high", cell->interval.high}}
                      : Json(nullptr);
  }
  return cells;
}

Json row_json(const Report& report, const ReportRow& row) {
  return {{"label", row.label},
          {"reference", row.reference},
          {"metrics", cells_json(report, row)},
          {"weight_bytes", optional_json(row.weight_bytes)},
          {"parameters", optional_json(row.parameters)}};
}

std::string cell_text(const std::optional<MetricValue>& cell) {
  if (!cell) return "-";
  if (cell->interval.low == cell->interval.high) return short_number(cell->value);
  return cat(short_number(cell->value), " [", short_number(cell->interval.low), ", ",
             short_number(cell->interval.high), "]");
}

std::vector<std::string> text_cells(const ReportRow& row) {
  std::vector<std::string> cells = {(row.pareto ? "* " : "  ") + row.label};
  for (const auto& cell : row.cells) cells.push_back(cell_text(cell));
  cells.push_back(cost_text("weight_bytes", row.weight_bytes));
  cells.push_back(cost_text("prefill_tokens_per_second", row.prefill_tokens_per_second));
  cells.push_back(cost_text("decode_tokens_per_second", row.decode_tokens_per_second));
  cells.push_back(cost_text("peak_memory_bytes", row.peak_memory_bytes));
  return cells;
}

}  // namespace

std::string short_number(double value) {
  if (!std::isfinite(value)) return "-";
  std::ostringstream text;
  const double size = std::abs(value);
  text << std::fixed
       << std::setprecision(size < 1.5    ? 3
                            : size < 100  ? 2
                            : size < 1000 ? 1
                                          : 0)
       << value;
  return text.str();
}

std::string cost_text(const std::string& cost, std::optional<double> value) {
  if (!value) return "-";
  if (cost.find("bytes") != std::string::npos) return human_bytes(static_cast<int64_t>(*value));
  return with_commas(std::llround(*value));
}

Json quality_json(const Report& report) {
  Json rows = Json::array();
  for (const ReportRow& row : report.rows) rows.push_back(row_json(report, row));
  return {{"format", "gradus-quality/1"}, {"columns", columns_json(report)}, {"rows", rows}};
}

Json report_json(const Report& report) {
  Json rows = Json::array();
  for (const ReportRow& row : report.rows) {
    Json json = row_json(report, row);
    json["prefill_tokens_per_second"] = optional_json(row.prefill_tokens_per_second);
    json["decode_tokens_per_second"] = optional_json(row.decode_tokens_per_second);
    json["peak_memory_bytes"] = optional_json(row.peak_memory_bytes);
    json["pareto"] = row.pareto;
    json["gates"] = row.gates;
    json["refused_gates"] = row.refused_gates;
    rows.push_back(std::move(json));
  }
  Json quality = nullptr;
  if (report.quality) {
    const ReportColumn& column = report.columns[*report.quality];
    quality = column.task + "." + column.metric;
  }
  return {
      {"format", "gradus-report/1"},     {"title", report.title},
      {"confidence", report.confidence}, {"pareto", {{"quality", quality}, {"cost", report.cost}}},
      {"columns", columns_json(report)}, {"rows", rows}};
}

std::string report_text(const Report& report) {
  std::vector<std::vector<std::string>> table(1, {"  model"});
  for (const ReportColumn& column : report.columns)
    table[0].push_back(column.title() + (column.higher_is_better ? " (+)" : " (-)"));
  for (const char* title : {"weights", "prefill tok/s", "decode tok/s", "peak memory"})
    table[0].emplace_back(title);
  for (const ReportRow& row : report.rows) table.push_back(text_cells(row));
  std::vector<size_t> widths(table[0].size(), 0);
  for (const auto& row : table) {
    for (size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], count_code_points(row[i]));
  }
  std::string text;
  for (const auto& row : table) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i)
      line += row[i] + std::string(widths[i] - count_code_points(row[i]) + 2, ' ');
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  text +=
      cat("(+) more is better, (-) less; [", std::llround(100 * report.confidence), " % interval]");
  if (report.quality)
    text += "; * Pareto set of " + report.columns[*report.quality].title() + " and " + report.cost;
  text += "\n";
  for (const ReportRow& row : report.rows) {
    for (const std::string& gate : row.refused_gates) text += row.label + ": " + gate + "\n";
  }
  return text;
}

void write_report(const fs::path& folder, const Report& report) {
  write_json(folder / "quality.json", quality_json(report));
  write_json(folder / "report.json", report_json(report));
  write_file_atomic(folder / "report.txt", report_text(report));
  write_file_atomic(folder / "report.html", report_html(report));
}

}  // namespace gradus
