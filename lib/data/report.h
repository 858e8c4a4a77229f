// SPDX-License-Identifier: Apache-2.0
// What became of every row and token of a source. tokens = kept_tokens + all dropped tokens,
// always.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"

namespace gradus {

struct SourceFile {
  std::string path;
  std::string sha256;
  int64_t bytes = 0;
};

struct Dropped {
  int64_t documents = 0;
  int64_t tokens = 0;
};

struct SourceReport {
  std::string name = {}, licence = {};
  std::vector<SourceFile> files = {};
  std::string shape = {}, shape_reason = {};
  int64_t documents = 0;   // rows that became ids
  int64_t text_bytes = 0;  // of their text, chat templates included
  int64_t tokens = 0;
  int64_t supervised_tokens = 0;                  // in the documents, before drops
  std::map<std::string, int64_t> bad_lines = {};  // reason → rows skipped
  int64_t chat_samples = 0;
  int64_t chat_samples_ended = 0;  // whose every learned turn has a supervised end-of-turn token
  int64_t turns = 0, turns_found = 0;
  std::string preview = {};  // the first document with its supervised parts marked
  bool from_cache = false;

  // After the overflow policy.
  int64_t kept_documents = 0, kept_tokens = 0;
  int64_t split_documents = 0, pieces = 0;
  std::map<std::string, Dropped> dropped = {};  // reason → count

  // After packing and planning; zero for held-out sets where it has no meaning.
  int64_t sequences = 0;
  int64_t planned_tokens = 0;
  double requested_share = 0, planned_share = 0, planned_epochs = 0;

  int64_t bad_line_count() const;
  Dropped all_dropped() const;
};

Json report_json(const SourceReport& report);
// A line per source, with a header: documents, tokens in, kept, split, dropped, bad lines, …
std::string report_table(const std::vector<SourceReport>& reports);

}  // namespace gradus
