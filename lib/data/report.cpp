// SPDX-License-Identifier: Apache-2.0
#include "data/report.h"

#include <algorithm>
#include <cstdio>

#include "base/error.h"
#include "base/system.h"

namespace gradus {
namespace {

Json files_json(const SourceReport& report) {
  Json files = Json::array();
  for (const auto& file : report.files)
    files.push_back({{"path", file.path}, {"sha256", file.sha256}, {"bytes", file.bytes}});
  return files;
}

Json dropped_json(const SourceReport& report) {
  Json dropped = Json::object();
  for (const auto& [reason, count] : report.dropped)
    dropped[reason] = {{"documents", count.documents}, {"tokens", count.tokens}};
  return dropped;
}

double ratio(int64_t part, int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0;
}

std::string percent(double share) {
  char text[16];
  std::snprintf(text, sizeof text, "%.1f %%", 100 * share);
  return text;
}

using Row = std::vector<std::string>;

Row table_row(const SourceReport& report) {
  const Dropped dropped = report.all_dropped();
  return {report.name,
          report.shape,
          with_commas(report.documents),
          with_commas(report.tokens),
          with_commas(report.kept_tokens),
          with_commas(dropped.tokens),
          with_commas(report.split_documents),
          with_commas(report.bad_line_count()),
          percent(ratio(report.supervised_tokens, report.tokens)),
          report.chat_samples > 0 ? percent(ratio(report.chat_samples_ended, report.chat_samples))
                                  : "-",
          report.planned_tokens > 0 ? percent(report.planned_share) : "-"};
}

// Names to the left, numbers to the right.
std::string aligned(const std::vector<Row>& rows) {
  std::vector<size_t> widths(rows[0].size(), 0);
  for (const auto& row : rows) {
    for (size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
  }
  std::string text;
  for (const auto& row : rows) {
    for (size_t c = 0; c < row.size(); ++c) {
      const std::string space(widths[c] - row[c].size(), ' ');
      text += (c ? "  " : "") + (c < 2 ? row[c] + space : space + row[c]);
    }
    text += '\n';
  }
  return text;
}

}  // namespace

int64_t SourceReport::bad_line_count() const {
  int64_t count = 0;
  for (const auto& [reason, lines] : bad_lines) count += lines;
  return count;
}

Dropped SourceReport::all_dropped() const {
  Dropped all;
  for (const auto& [reason, count] : dropped) {
    all.documents += count.documents;
    all.tokens += count.tokens;
  }
  return all;
}

Json report_json(const SourceReport& report) {
  Json json = {{"name", report.name},
               {"files", files_json(report)},
               {"licence", report.licence},
               {"shape", report.shape},
               {"shape_reason", report.shape_reason},
               {"documents", report.documents},
               {"text_bytes", report.text_bytes},
               {"tokens_in", report.tokens},
               {"tokens_kept", report.kept_tokens},
               {"documents_kept", report.kept_documents},
               {"documents_split", report.split_documents},
               {"pieces", report.pieces},
               {"dropped", dropped_json(report)},
               {"bad_lines", report.bad_lines},
               {"supervised_tokens", report.supervised_tokens},
               {"supervised_share", ratio(report.supervised_tokens, report.tokens)},
               {"sequences", report.sequences},
               {"from_cache", report.from_cache}};
  if (report.chat_samples > 0) {
    json["chat_samples"] = report.chat_samples;
    json["end_of_turn_share"] = ratio(report.chat_samples_ended, report.chat_samples);
    json["turns"] = report.turns;
    json["turns_not_in_template"] = report.turns - report.turns_found;
  }
  if (report.planned_tokens > 0) {
    json["planned_tokens"] = report.planned_tokens;
    json["planned_share"] = report.planned_share;
    json["requested_share"] = report.requested_share;
    json["planned_epochs"] = report.planned_epochs;
  }
  return json;
}

std::string report_table(const std::vector<SourceReport>& reports) {
  std::vector<Row> rows = {{"source", "shape", "documents", "tokens in", "kept", "dropped", "split",
                            "bad lines", "learned", "end of turn", "share of plan"}};
  for (const auto& report : reports) rows.push_back(table_row(report));
  return aligned(rows);
}

}  // namespace gradus
