// SPDX-License-Identifier: Apache-2.0
#include "data/source.h"

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/system.h"
#include "data/reader.h"
#include "data/tokenize.h"

namespace gradus {
namespace {

std::vector<SourceFile> describe_files(const std::vector<fs::path>& paths) {
  std::vector<SourceFile> files;
  for (const auto& path : paths)
    files.push_back({path.string(), sha256_file(path), static_cast<int64_t>(fs::file_size(path))});
  return files;
}

Json content_key(const std::vector<SourceFile>& files, FileFormat format) {
  Json content = Json::array();
  for (const auto& file : files) {
    const FileFormat kind = format == FileFormat::kAuto ? format_of_name(file.path) : format;
    content.push_back({recipe_name(kind), file.sha256});
  }
  return content;
}

// Everything that the cached tokens depend on.
Json cache_key(const TokenizeJob& job, const std::vector<SourceFile>& files) {
  const auto& [source, data, tools, paths] = job;
  return {{"program", program_version()},
          {"content", content_key(files, source.format)},
          {"tokenizer", tools.tokenizer_digest},
          {"template", tools.chat_template ? sha256_hex(tools.chat_template->source()) : ""},
          {"bos_token", tools.bos_token},
          {"eos_token", tools.eos_token},
          {"shape", recipe_name(source.shape)},
          {"text_key", source.text_key},
          {"messages_key", source.messages_key},
          {"separator", source.separator},
          {"max_documents", source.max_documents.value_or(0)},
          {"on_bad_line", recipe_name(data.on_bad_line)},
          {"max_record_bytes", data.max_record_bytes},
          {"train_on", recipe_name(data.train_on)},
          {"append_eos", data.append_eos},
          {"add_special_tokens", data.add_special_tokens}};
}

Json counts_json(const SourceReport& report) {
  return {{"shape", report.shape},
          {"shape_reason", report.shape_reason},
          {"documents", report.documents},
          {"text_bytes", report.text_bytes},
          {"tokens", report.tokens},
          {"supervised_tokens", report.supervised_tokens},
          {"bad_lines", report.bad_lines},
          {"chat_samples", report.chat_samples},
          {"chat_samples_ended", report.chat_samples_ended},
          {"turns", report.turns},
          {"turns_found", report.turns_found},
          {"preview", report.preview}};
}

SourceReport counts_from_json(const Json& json) {
  SourceReport report;
  report.shape = json.at("shape");
  report.shape_reason = json.at("shape_reason");
  report.documents = json.at("documents");
  report.text_bytes = json.at("text_bytes");
  report.tokens = json.at("tokens");
  report.supervised_tokens = json.at("supervised_tokens");
  report.bad_lines = json.at("bad_lines");
  report.chat_samples = json.at("chat_samples");
  report.chat_samples_ended = json.at("chat_samples_ended");
  report.turns = json.at("turns");
  report.turns_found = json.at("turns_found");
  report.preview = json.at("preview");
  return report;
}

// The store at `path` if it is whole and was made for `key`.
std::unique_ptr<const TokenStore> open_cached(const fs::path& path, const Json& key) {
  if (!fs::exists(path)) return nullptr;
  try {
    auto store = std::make_unique<const TokenStore>(path);
    if (store->metadata().contains("key") && store->metadata().at("key") == key) return store;
    log_warning("data", path.string() + ": was made for other data and is rebuilt");
  } catch (const Error& error) {
    log_warning("data", cat(error.what(), "; it is rebuilt"));
  }
  return nullptr;
}

void build(const TokenizeJob& job, const fs::path& path, const Json& key) {
  TokenStoreWriter writer(path, job.tools.tokenizer->vocab_size());
  const SourceReport counts = tokenize_files(job, writer);
  writer.finish({{"key", key}, {"counts", counts_json(counts)}});
}

// 0 % and 100 % masks are how a wrong template or a wrong shape shows itself.
void check_masks(const SourceReport& report, TrainOn train_on) {
  if (report.documents == 0)
    throw Error({.what = "holds no documents", .where = "source " + report.name});
  if (report.chat_samples == 0) return;
  if (report.supervised_tokens == 0)
    throw Error({.what = "no token of any conversation would be learned",
                 .where = "source " + report.name,
                 .found = cat(report.turns, " assistant turns, ", report.turns_found,
                              " of them visible through the chat template"),
                 .hint = "do the roles and the chat template fit the model?"});
  const bool all = report.supervised_tokens >= report.tokens - report.documents;
  if (all && train_on != TrainOn::kEverything)
    throw Error({.what = "every token of every conversation would be learned, prompts included",
                 .where = "source " + report.name,
                 .hint = "if this is meant, set train_on: everything"});
}

void log_source(const SourceReport& report) {
  log_info("data", cat(report.name, ": shape ", report.shape_reason, "; ",
                       with_commas(report.documents), " documents, ", with_commas(report.tokens),
                       " tokens", report.from_cache ? " (cached)" : ""));
  if (report.chat_samples == 0) return;
  log_info("data",
           cat(report.name, ": first conversation, learned parts in ⟦ ⟧:\n", report.preview));
  if (report.chat_samples_ended < report.chat_samples)
    log_warning("data", cat(report.name, ": the end-of-turn token is learned in only ",
                            with_commas(report.chat_samples_ended), " of ",
                            with_commas(report.chat_samples), " conversations"));
}

}  // namespace

std::string DataSource::place(int64_t document) const {
  const DocumentPlace place = store_->place(document);
  return cat(report_.files.at(static_cast<size_t>(place.file)).path, ":", place.line);
}

std::shared_ptr<const DataSource> open_source(const SourceRecipe& source, const DataRecipe& data,
                                              const TextTools& tools) {
  const TokenizeJob job{source, data, tools, data_files(source.path, source.format)};
  const std::vector<SourceFile> files = describe_files(job.files);
  const Json key = cache_key(job, files);
  const fs::path path =
      fs::path(data.cache_dir) / (sha256_hex(key.dump()).substr(0, 32) + ".tokens");
  auto store = open_cached(path, key);
  const bool from_cache = store != nullptr;
  if (!store) build(job, path, key);
  if (!store) store = std::make_unique<const TokenStore>(path);
  SourceReport report = counts_from_json(store->metadata().at("counts"));
  report.name = source.name;
  report.licence = source.licence;
  report.files = files;
  report.from_cache = from_cache;
  check_masks(report, data.train_on);
  log_source(report);
  return std::make_shared<const DataSource>(source, std::move(report), std::move(store));
}

}  // namespace gradus
