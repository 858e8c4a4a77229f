// SPDX-License-Identifier: Apache-2.0
#include "data/tokenize.h"

#include <optional>

#include "base/error.h"
#include "base/log.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "base/signals.h"
#include "data/reader.h"
#include "data/sample.h"
#include "data/shape.h"

namespace gradus {
namespace {

constexpr size_t kBlockRecords = 2048;
constexpr size_t kBlockBytes = 4 << 20;
constexpr int64_t kBytesWorthAProgressBar = 1 << 20;
constexpr int64_t kShownBadLines = 3;

struct Outcome {
  Sample sample;
  std::string refused;  // "" or the reason under which the row is counted
  std::optional<Error> error;
};

class SourceTokenizer {
 public:
  SourceTokenizer(const TokenizeJob& job, TokenStoreWriter& writer)
      : job_(job),
        writer_(writer),
        keys_{job.source.text_key, job.source.messages_key},
        options_{job.data.train_on, job.data.append_eos, job.data.add_special_tokens} {}

  SourceReport run() {
    choose_shape();
    require_tools(shape_, job_.tools, options_);
    start_progress();
    for (file_ = 0; file_ < job_.files.size() && !full(); ++file_) read_one_file();
    warn_of_bad_lines();
    return std::move(report_);
  }

 private:
  std::unique_ptr<RecordReader> open(size_t file) const {
    return open_reader(job_.files[file], {.format = job_.source.format,
                                          .separator = job_.source.separator,
                                          .text_key = job_.source.text_key,
                                          .max_record_bytes = job_.data.max_record_bytes});
  }
  std::string place(size_t file, int64_t line) const {
    return cat(job_.files[file].string(), ":", line);
  }
  bool skips() const { return job_.data.on_bad_line == BadLinePolicy::kSkip; }
  bool full() const {
    return job_.source.max_documents && report_.documents >= *job_.source.max_documents;
  }

  // By the recipe, else by the first row that can be read.
  void choose_shape() {
    shape_ = job_.source.shape;
    report_.shape_reason = "chosen by the recipe";
    for (size_t file = 0; shape_ == RowShape::kAuto && file < job_.files.size(); ++file)
      detect_in(file);
    if (shape_ == RowShape::kAuto)
      throw Error({.what = "no row can be read", .where = job_.files.front().string()});
    report_.shape = recipe_name(shape_);
    const bool has_turns = shape_ == RowShape::kMessages || shape_ == RowShape::kShareGpt;
    if (!job_.source.messages_key.empty() && !has_turns)
      throw Error({.what = "messages_key names a list of turns, and rows of shape " +
                           report_.shape + " have none",
                   .where = job_.files.front().string(),
                   .expected = "shape messages or sharegpt",
                   .found = printable(job_.source.messages_key)});
  }

  void detect_in(size_t file) {
    const auto reader = open(file);
    Record record;
    while (reader->next(record)) {
      const std::string where = place(file, record.line);
      Json row;
      try {
        if (!record.problem.empty()) throw Error({.what = record.problem, .where = where});
        row = reader->row(record, where);
      } catch (const Error&) {
        if (!skips()) throw;
        continue;
      }
      const DetectedShape found = detect_shape(row, keys_, where);
      shape_ = found.shape;
      if (!found.messages_key.empty()) keys_.messages_key = found.messages_key;
      report_.shape_reason = found.reason;
      return;
    }
  }

  void start_progress() {
    int64_t bytes = 0;
    for (const auto& file : job_.files) bytes += static_cast<int64_t>(fs::file_size(file));
    if (bytes >= kBytesWorthAProgressBar)
      progress_.emplace("tokenise " + job_.source.name, bytes, "bytes");
  }

  void read_one_file() {
    const auto reader = open(file_);
    std::vector<Record> block;
    while (!full() && read_block(*reader, block)) {
      stop_if_asked();
      append(block, tokenize(*reader, block));
      if (progress_) progress_->advance_to(finished_bytes_ + reader->consumed());
    }
    finished_bytes_ += static_cast<int64_t>(fs::file_size(job_.files[file_]));
  }

  static bool read_block(RecordReader& reader, std::vector<Record>& block) {
    block.clear();
    size_t bytes = 0;
    Record record;
    while (block.size() < kBlockRecords && bytes < kBlockBytes && reader.next(record)) {
      bytes += record.raw.size();
      block.push_back(std::move(record));
    }
    return !block.empty();
  }

  std::vector<Outcome> tokenize(const RecordReader& reader, const std::vector<Record>& block) {
    std::vector<Outcome> outcomes(block.size());
    constexpr int64_t kGrain = 4;
    parallel_for(static_cast<int64_t>(block.size()), kGrain, [&](int64_t begin, int64_t end) {
      for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i)
        outcomes[i] = tokenize(reader, block[i]);
    });
    return outcomes;
  }

  Outcome tokenize(const RecordReader& reader, const Record& record) const {
    const std::string where = place(file_, record.line);
    Outcome outcome;
    outcome.refused = "too long";
    try {
      if (!record.problem.empty()) throw Error({.what = record.problem, .where = where});
      outcome.refused = "cannot be parsed";
      const Json row = reader.row(record, where);
      outcome.refused = "does not fit the shape";
      outcome.sample = sample(row, where, outcome.refused);
      outcome.refused.clear();
    } catch (const Error& error) {
      outcome.error = error;
    }
    return outcome;
  }

  Sample sample(const Json& row, const std::string& where, std::string& stage) const {
    if (shape_ == RowShape::kText)
      return text_sample(row_text(row, keys_, where), job_.tools, options_);
    const ChatRow chat = row_chat(row, shape_, keys_, where);
    stage = "refused by the chat template";
    return chat_sample(chat, job_.tools, options_, where);
  }

  void append(const std::vector<Record>& block, const std::vector<Outcome>& outcomes) {
    for (size_t i = 0; i < block.size() && !full(); ++i) {
      if (outcomes[i].error) {
        refuse(outcomes[i]);
      } else {
        append(outcomes[i].sample, block[i].line);
      }
    }
  }

  void refuse(const Outcome& outcome) {
    if (!skips()) throw *outcome.error;
    ++report_.bad_lines[outcome.refused];
    if (report_.bad_line_count() <= kShownBadLines)
      log_warning("data", cat("skipped: ", outcome.error->what()));
  }

  void append(const Sample& sample, int64_t line) {
    writer_.append(sample.ids, sample.supervised, {static_cast<int64_t>(file_), line});
    if (report_.documents++ == 0) report_.preview = marked_preview(sample, *job_.tools.tokenizer);
    report_.text_bytes += sample.text_bytes;
    report_.tokens += static_cast<int64_t>(sample.ids.size());
    for (size_t i = 1; i < sample.supervised.size(); ++i)
      report_.supervised_tokens += sample.supervised[i];
    if (!is_chat(shape_)) return;
    ++report_.chat_samples;
    report_.turns += sample.turns;
    report_.turns_found += sample.turns_found;
    report_.chat_samples_ended += sample.turns > 0 && sample.turns_ended == sample.turns;
  }

  void warn_of_bad_lines() const {
    const int64_t count = report_.bad_line_count();
    if (count > kShownBadLines)
      log_warning("data", cat(job_.source.name, ": ", count, " bad lines skipped in all"));
  }

  static void stop_if_asked() {
    if (stop_signal() == 0) return;
    const auto code = static_cast<ExitCode>(128 + stop_signal());
    throw Error({.what = "stopped while tokenising",
                 .hint = "nothing was written; the next run starts this source again"},
                code);
  }

  const TokenizeJob& job_;
  TokenStoreWriter& writer_;
  RowKeys keys_;
  SampleOptions options_;
  RowShape shape_ = RowShape::kAuto;
  SourceReport report_;
  std::optional<Progress> progress_;
  size_t file_ = 0;
  int64_t finished_bytes_ = 0;
};

}  // namespace

SourceReport tokenize_files(const TokenizeJob& job, TokenStoreWriter& writer) {
  return SourceTokenizer(job, writer).run();
}

}  // namespace gradus
