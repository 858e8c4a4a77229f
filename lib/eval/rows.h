// SPDX-License-Identifier: Apache-2.0
// The rows of a task's data, each with a digest that says which row it is in paired comparisons.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "eval/recipe.h"

namespace gradus {

struct EvalRow {
  std::string where;    // "file:line", for errors
  Json value;           // an object
  std::string digest;   // first 16 hexadecimal digits of the SHA-256 of the raw line
  std::string cluster;  // "" without cluster_key
};

struct EvalRows {
  std::vector<EvalRow> rows;
  Json files;  // [{"path", "sha256", "bytes"}]
};

// Throws gradus::Error at the line for a row that cannot be read, and when there is none.
EvalRows read_eval_rows(const TaskRecipe& task);
// Rows of one file without clusters; at most `limit` when positive.
std::vector<EvalRow> read_rows(const fs::path& path, int64_t limit);

// A member that must be a text; throws at the row's place.
std::string row_member(const EvalRow& row, const std::string& key);

}  // namespace gradus
