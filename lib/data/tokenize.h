// SPDX-License-Identifier: Apache-2.0
// From files to a token store: reading in order, tokenising on all cores, writing in order, so that
// the result does not depend on the number of cores.
#pragma once

#include <vector>

#include "data/recipe.h"
#include "data/report.h"
#include "data/text_tools.h"
#include "data/token_store.h"

namespace gradus {

struct TokenizeJob {
  const SourceRecipe& source;
  const DataRecipe& data;
  const TextTools& tools;
  std::vector<fs::path> files;
};

// Appends every document and returns the counts (of SourceReport, up to `preview`). Throws for bad
// rows (on_bad_line: error), and when SIGINT or SIGTERM asks to stop.
SourceReport tokenize_files(const TokenizeJob& job, TokenStoreWriter& writer);

}  // namespace gradus
