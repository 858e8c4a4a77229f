// SPDX-License-Identifier: Apache-2.0
#include "eval/rows.h"

#include "base/error.h"
#include "base/hash.h"
#include "data/reader.h"

namespace gradus {
namespace {

void append_rows(const fs::path& file, size_t most, std::vector<EvalRow>& rows) {
  const auto reader = open_reader(file, {});
  Record record;
  while (rows.size() < most && reader->next(record)) {
    const std::string where = cat(file.string(), ":", record.line);
    if (!record.problem.empty()) throw Error({.what = record.problem, .where = where});
    Json value = reader->row(record, where);
    if (!value.is_object()) throw Error({.what = "is not a JSON object", .where = where});
    rows.push_back({where, std::move(value), sha256_hex(record.raw).substr(0, 16), {}});
  }
}

// Texts and numbers can name a cluster.
std::string cluster_of(const EvalRow& row, const std::string& key) {
  if (!row.value.contains(key)) json_missing(key, row.where);
  const Json& value = row.value.at(key);
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_number()) json_wrong_type(value, key, "a string or number", row.where);
  return value.dump();
}

}  // namespace

std::vector<EvalRow> read_rows(const fs::path& path, int64_t limit) {
  const size_t most = limit > 0 ? static_cast<size_t>(limit) : SIZE_MAX;
  std::vector<EvalRow> rows;
  for (const fs::path& file : data_files(path, FileFormat::kAuto)) append_rows(file, most, rows);
  if (rows.empty()) throw Error({.what = "holds no rows", .where = path.string()});
  return rows;
}

EvalRows read_eval_rows(const TaskRecipe& task) {
  EvalRows result{read_rows(task.data, task.limit.value_or(0)), Json::array()};
  for (EvalRow& row : result.rows) {
    if (!task.cluster_key.empty()) row.cluster = cluster_of(row, task.cluster_key);
  }
  for (const fs::path& file : data_files(task.data, FileFormat::kAuto)) {
    result.files.push_back(
        {{"path", file.string()}, {"sha256", sha256_file(file)}, {"bytes", fs::file_size(file)}});
  }
  return result;
}

std::string row_member(const EvalRow& row, const std::string& key) {
  return json_get<std::string>(row.value, key, row.where);
}

}  // namespace gradus
