// SPDX-License-Identifier: Apache-2.0
// samples.jsonl: one line per row and task, {"task", "row", "cluster", "scores", …details}.
#include "base/error.h"
#include "data/reader.h"
#include "eval/metrics.h"

namespace gradus {
namespace {

RowScores row_from_json(const Json& sample, const std::string& where) {
  RowScores row{.digest = json_get<std::string>(sample, "row", where),
                .cluster = json_get<std::string>(sample, "cluster", where),
                .scores = {}};
  const Json scores = json_get<Json>(sample, "scores", where);
  if (!scores.is_object()) json_wrong_type(scores, "scores", "an object", where);
  for (const auto& [name, value] : scores.items())
    row.scores[name] = number_or_nan(scores, name, where);
  return row;
}

// Label positions index tables later on.
void check_labels(const TaskScores& task, const RowScores& row, const std::string& where) {
  if (task.labels.empty()) return;
  for (const char* key : {"gold", "predicted"}) {
    const auto found = row.scores.find(key);
    if (found == row.scores.end() || !(found->second >= 0) ||
        !(found->second < static_cast<double>(task.labels.size())))
      throw Error({.what = "is not the position of a label", .where = where + ": " + key});
  }
}

std::map<std::string, TaskScores> empty_tasks(const Json& results, const std::string& where) {
  std::map<std::string, TaskScores> tasks;
  const Json listed = json_get<Json>(results, "tasks", where);
  if (!listed.is_object()) json_wrong_type(listed, "tasks", "an object", where);
  for (const auto& [name, task] : listed.items()) {
    TaskScores& scores = tasks[name];
    scores.name = name;
    scores.kind = task_kind(json_get<std::string>(task, "kind", where), where);
    if (task.contains("labels")) {
      for (const auto& entry : task.at("labels").items()) scores.labels.push_back(entry.key());
    }
  }
  return tasks;
}

}  // namespace

Json sample_json(const TaskScores& task, const RowScores& row) {
  Json sample = {
      {"task", task.name}, {"row", row.digest}, {"cluster", row.cluster}, {"scores", row.scores}};
  for (const auto& [key, value] : row.details.items()) sample[key] = value;
  return sample;
}

std::map<std::string, TaskScores> read_samples(const fs::path& file, const Json& results) {
  std::map<std::string, TaskScores> tasks = empty_tasks(results, file.string());
  const auto reader = open_reader(file, {});
  Record record;
  while (reader->next(record)) {
    const std::string where = cat(file.string(), ":", record.line);
    if (!record.problem.empty()) throw Error({.what = record.problem, .where = where});
    const Json sample = reader->row(record, where);
    const auto found = tasks.find(json_get<std::string>(sample, "task", where));
    if (found == tasks.end())
      throw Error({.what = "belongs to no task of results.json", .where = where});
    RowScores row = row_from_json(sample, where);
    check_labels(found->second, row, where);
    found->second.rows.push_back(std::move(row));
  }
  return tasks;
}

}  // namespace gradus
