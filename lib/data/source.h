// SPDX-License-Identifier: Apache-2.0
// A source of the recipe, tokenised. The tokens live in data.cache_dir under a name made of
// everything they depend on: the content of the files, tokenizer, chat template, special tokens and
// the recipe keys of reading and sampling. Another recipe or file finds another name; a damaged
// file is rebuilt. context_length, packing and mixing do not enter: they work on the cached
// documents.
#pragma once

#include <memory>
#include <string>

#include "data/recipe.h"
#include "data/report.h"
#include "data/text_tools.h"
#include "data/token_store.h"

namespace gradus {

class DataSource {
 public:
  DataSource(SourceRecipe recipe, SourceReport report, std::unique_ptr<const TokenStore> store)
      : recipe_(std::move(recipe)), report_(std::move(report)), store_(std::move(store)) {}

  const SourceRecipe& recipe() const { return recipe_; }
  const SourceReport& report() const { return report_; }
  const TokenStore& store() const { return *store_; }
  bool has_chats() const { return report_.chat_samples > 0; }
  std::string place(int64_t document) const;  // "file:line"

 private:
  SourceRecipe recipe_;
  SourceReport report_;
  std::unique_ptr<const TokenStore> store_;
};

// Opens the cache or builds it. Throws gradus::Error for bad rows (on_bad_line: error), for a
// source without documents, and for conversations in which nothing, or everything, would be
// learned (the latter unless train_on: everything).
std::shared_ptr<const DataSource> open_source(const SourceRecipe& source, const DataRecipe& data,
                                              const TextTools& tools);

}  // namespace gradus
