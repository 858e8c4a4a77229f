// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "eval/compare.h"

namespace gradus {
namespace {

constexpr const char* kHead = R"(<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root { color-scheme: light dark; --ink: #1a1a1a; --soft: #5c5c5c; --line: #d5d5d5;
  --back: #ffffff; --mark: #0072b2; --warn: #b34700; --fill: #eaf3f9; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececec; --soft: #a6a6a6; --line: #444;
  --back: #161616; --mark: #56b4e9; --warn: #e69f00; --fill: #1d2b35; } }
@media print { :root { --ink: #000; --soft: #444; --line: #999; --back: #fff; --mark: #0072b2;
  --warn: #b34700; --fill: #eee; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back);
  margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .8rem; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
thead th { border-bottom: 2px solid var(--ink); vertical-align: bottom; font-weight: 600; }
td small, th small { color: var(--soft); display: block; font-weight: 400; }
tr.pareto { background: var(--fill); } tr.pareto td:first-child { font-weight: 600; }
tr.reference td { color: var(--soft); font-style: italic; }
.best { font-weight: 700; } .refused { color: var(--warn); } p.note { color: var(--soft); }
svg { max-width: 100%; height: auto; } svg text { fill: var(--ink); font: 12px system-ui, sans-serif; }
svg .axis { stroke: var(--soft); } svg .soft { fill: var(--soft); }
svg .in { fill: var(--mark); stroke: var(--mark); } svg .out { fill: var(--back); stroke: var(--soft); }
svg .bar { stroke: var(--soft); stroke-width: 1.5; }
</style>
)";

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

// The model with the best value of each column.
std::vector<const ReportRow*> best_rows(const Report& report) {
  std::vector<const ReportRow*> best(report.columns.size(), nullptr);
  for (size_t i = 0; i < best.size(); ++i) {
    for (const ReportRow& row : report.rows) {
      if (row.reference || !row.cells[i] || !std::isfinite(row.cells[i]->value)) continue;
      const double sign = report.columns[i].higher_is_better ? 1 : -1;
      if (!best[i] || sign * row.cells[i]->value > sign * best[i]->cells[i]->value) best[i] = &row;
    }
  }
  return best;
}

std::string head_row(const Report& report) {
  std::string html = "<thead><tr><th>model</th>";
  for (const ReportColumn& column : report.columns)
    html += "<th>" + escaped(column.task) + "<small>" + escaped(column.metric) + " " +
            (column.higher_is_better ? "&uarr;" : "&darr;") + "</small></th>";
  return html +
         "<th>weights<small>on disk &darr;</small></th><th>prefill<small>tokens/s "
         "&uarr;</small></th><th>decode<small>tokens/s &uarr;</small></th><th>memory<small>peak "
         "&darr;</small></th><th>gates<small>passed</small></th></tr></thead>\n";
}

std::string metric_cell(const std::optional<MetricValue>& cell, bool best) {
  if (!cell) return "<td>&ndash;</td>";
  std::string html = best ? "<td class=\"best\">" : "<td>";
  html += short_number(cell->value);
  if (cell->interval.low != cell->interval.high)
    html += "<small>" + short_number(cell->interval.low) + " to " +
            short_number(cell->interval.high) + "</small>";
  return html + "</td>";
}

std::string gate_cell(const ReportRow& row) {
  if (row.gates == 0) return "<td>&ndash;</td>";
  const auto passed = row.gates - static_cast<int64_t>(row.refused_gates.size());
  return cat(row.refused_gates.empty() ? "<td>" : "<td class=\"refused\">", passed, " of ",
             row.gates, "</td>");
}

std::string body_row(const ReportRow& row, const std::vector<const ReportRow*>& best) {
  std::string html = row.reference ? "<tr class=\"reference\">"
                     : row.pareto  ? "<tr class=\"pareto\">"
                                   : "<tr>";
  html += "<td>" + escaped(row.label) + (row.pareto ? " &#9733;" : "") + "</td>";
  for (size_t i = 0; i < row.cells.size(); ++i) html += metric_cell(row.cells[i], best[i] == &row);
  const auto cost = [&](const char* name, std::optional<double> value) {
    html += "<td>" + escaped(cost_text(name, value)) + "</td>";
  };
  cost("weight_bytes", row.weight_bytes);
  cost("prefill_tokens_per_second", row.prefill_tokens_per_second);
  cost("decode_tokens_per_second", row.decode_tokens_per_second);
  cost("peak_memory_bytes", row.peak_memory_bytes);
  return html + gate_cell(row) + "</tr>\n";
}

// Linear from data to pixels.
struct Axis {
  double low, high, from, to;
  double operator()(double value) const {
    return from + (value - low) / (high - low) * (to - from);
  }
};

Axis axis_over(std::vector<double> values, double from, double to) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const double margin = std::max((*high - *low) * 0.08, 1e-9 + std::abs(*high) * 0.02);
  return {*low - margin, *high + margin, from, to};
}

std::string fixed1(double value) { return cat(std::round(value * 10) / 10); }

constexpr double kWidth = 720, kHeight = 380, kLeft = 70, kRight = 150, kTop = 20, kBottom = 50;

struct Point {
  const ReportRow* row;
  double cost;
  MetricValue quality;
};

bool is_finite(const MetricValue& metric) {
  return std::isfinite(metric.value) && std::isfinite(metric.interval.low) &&
         std::isfinite(metric.interval.high);
}

std::vector<Point> plotted_points(const Report& report) {
  std::vector<Point> points;
  if (!report.quality) return points;
  for (const ReportRow& row : report.rows) {
    const auto cost = cost_of(report, row);
    if (!row.reference && cost && row.cells[*report.quality] &&
        is_finite(*row.cells[*report.quality]))
      points.push_back({&row, *cost, *row.cells[*report.quality]});
  }
  return points;
}

std::string point_svg(const Report& report, const Point& point, const Axis& x, const Axis& y) {
  const std::string at = fixed1(x(point.cost)), up = fixed1(y(point.quality.value));
  std::string svg = "<line class=\"bar\" x1=\"" + at + "\" x2=\"" + at + "\" y1=\"" +
                    fixed1(y(point.quality.interval.low)) + "\" y2=\"" +
                    fixed1(y(point.quality.interval.high)) + "\"/>";
  svg += point.row->pareto
             ? "<circle class=\"in\" cx=\"" + at + "\" cy=\"" + up + "\" r=\"5\"/>"
             : "<rect class=\"out\" x=\"" + fixed1(x(point.cost) - 4) + "\" y=\"" +
                   fixed1(y(point.quality.value) - 4) + "\" width=\"8\" height=\"8\"/>";
  return svg + "<text x=\"" + fixed1(x(point.cost) + 9) + "\" y=\"" +
         fixed1(y(point.quality.value) + 4) + "\">" + escaped(point.row->label) + "<title>" +
         escaped(cost_text(report.cost, point.cost)) + "</title></text>\n";
}

std::string axis_svg(const Report& report, const Axis& x, const Axis& y) {
  std::string svg = cat("<path class=\"axis\" fill=\"none\" d=\"M", kLeft, " ", kTop, "V",
                        kHeight - kBottom, "H", kWidth - kRight, "\"/>\n");
  for (int i = 0; i <= 4; ++i) {
    const double cost = x.low + (x.high - x.low) * i / 4;
    const double quality = y.low + (y.high - y.low) * i / 4;
    svg += cat("<text class=\"soft\" text-anchor=\"middle\" x=\"", fixed1(x(cost)), "\" y=\"",
               kHeight - kBottom + 18, "\">", escaped(cost_text(report.cost, std::max(cost, 0.0))),
               "</text><text class=\"soft\" text-anchor=\"end\" x=\"", kLeft - 8, "\" y=\"",
               fixed1(y(quality) + 4), "\">", short_number(quality), "</text>\n");
  }
  const ReportColumn& column = report.columns[*report.quality];
  return svg + cat("<text x=\"", kLeft, "\" y=\"", kTop - 6, "\">", escaped(column.title()),
                   "</text><text text-anchor=\"end\" x=\"", kWidth - kRight, "\" y=\"", kHeight - 8,
                   "\">", escaped(report.cost), "</text>\n");
}

std::string plot(const Report& report) {
  const std::vector<Point> points = plotted_points(report);
  if (points.size() < 2) return "";
  std::vector<double> costs, qualities;
  for (const Point& point : points) {
    costs.push_back(point.cost);
    qualities.push_back(point.quality.interval.low);
    qualities.push_back(point.quality.interval.high);
  }
  const Axis x = axis_over(costs, kLeft, kWidth - kRight);
  const Axis y = axis_over(qualities, kHeight - kBottom, kTop);
  std::string svg =
      cat("<h2>Quality against cost</h2>\n<svg role=\"img\" aria-label=\"quality "
          "against cost\" viewBox=\"0 0 ",
          kWidth, " ", kHeight, "\" width=\"", kWidth, "\">\n");
  svg += axis_svg(report, x, y);
  for (const Point& point : points) svg += point_svg(report, point, x, y);
  return svg +
         "</svg>\n<p class=\"note\">Filled circle: in the Pareto set, no other model is "
         "better on one side and as good on the other. Bars: intervals.</p>\n";
}

std::string refused_gates(const Report& report) {
  std::string items;
  for (const ReportRow& row : report.rows) {
    for (const std::string& gate : row.refused_gates)
      items += "<li>" + escaped(row.label + ": " + gate) + "</li>\n";
  }
  return items.empty() ? "" : "<h2 class=\"refused\">Refused gates</h2>\n<ul>" + items + "</ul>\n";
}

}  // namespace

std::string report_html(const Report& report) {
  const std::vector<const ReportRow*> best = best_rows(report);
  std::string html = "<!doctype html>\n<html lang=\"en\">\n" + std::string(kHead) + "<title>" +
                     escaped(report.title) + "</title>\n<h1>" + escaped(report.title) +
                     "</h1>\n<div class=\"wide\"><table>\n" + head_row(report) + "<tbody>\n";
  for (const ReportRow& row : report.rows) html += body_row(row, best);
  html += "</tbody></table></div>\n";
  html += cat("<p class=\"note\">Small numbers: ", std::llround(100 * report.confidence),
              " % intervals. Bold: the best of a column. &#9733;: Pareto set");
  if (report.quality)
    html +=
        " of " + escaped(report.columns[*report.quality].title()) + " and " + escaped(report.cost);
  return html + ".</p>\n" + plot(report) + refused_gates(report) + "</html>\n";
}

}  // namespace gradus
