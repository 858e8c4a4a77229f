// SPDX-License-Identifier: Apache-2.0
// Encoding on one core, beside the `tokenizers` package's encode_batch with its parallelism off:
// English prose, and Chinese text made by formula. Both get the same documents of about 4 KiB.
// Verified first: all ids are the same. The programs take turns; the median round counts, in
// seconds of processor time. Then encode_batch on all cores beside one core, by the clock.
//   bench_tokenizer [--quick] [--model DIR] [PYTHON]     the last line is one JSON document
//
// Without --model, the tokenizers of the acceptance data beside the project are used where they are
// present, and Llama 3's vocabulary with the ways of cutting text of other models; else the
// tokenizer of the quickstart's L0.
#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>

#include "base/error.h"
#include "base/hash.h"
#include "base/rng.h"
#include "base/system.h"
#include "bench_support.h"
#include "data/byte_stream.h"
#include "text/tokenizer.h"
#include "text/tokenizer/sentencepiece_folder.h"
#include "text/tokenizer/word_scanner.h"
#include "text/unicode.h"

namespace gradus {
namespace {

constexpr size_t kTextBytes = 2 << 20;
constexpr size_t kDocumentBytes = 4096;
constexpr const char* kEnglish =
    GRADUS_SOURCE_DIR "/recipes/quickstart/data/general_train.jsonl.gz";
constexpr const char* kAcceptance = GRADUS_SOURCE_DIR "/../shared/acceptance/tokenizers/";
constexpr int kRepeats = 3;  // the best of them counts, as for the peer

std::string read_all(const fs::path& file) {
  const auto stream = open_byte_stream(file);
  std::string out(1 << 16, '\0');
  size_t used = 0;
  while (const size_t got = stream->read(out.data() + used, out.size() - used)) {
    used += got;
    if (used == out.size()) out.resize(used * 2);
  }
  out.resize(used);
  return out;
}

std::string english_text() {
  const std::string lines = read_all(kEnglish);
  std::string out;
  for (size_t at = 0; at < lines.size() && out.size() < kTextBytes;) {
    const size_t end = lines.find('\n', at);
    out +=
        json_get<std::string>(parse_json(lines.substr(at, end - at), kEnglish), "text", kEnglish);
    out += '\n';
    at = end + 1;
  }
  return out;
}

bool is_han(const std::string& word) {
  if (word.empty() || find_invalid_utf8(word)) return false;
  for (size_t at = 0; at < word.size();) {
    const CodePoint c = decode_utf8(word, at);
    if (c.value < 0x4E00 || c.value > 0x9FFF) return false;
    at += c.bytes;
  }
  return true;
}

// Words of the vocabulary, the earlier the more frequent (by Zipf's law), with a mark after 2 to 9.
std::string chinese_text(const Tokenizer& tokenizer) {
  std::vector<std::string> words;
  for (TokenId id = 0; id < tokenizer.vocab_size(); ++id) {
    std::string word = tokenizer.token_bytes(id);
    if (is_han(word)) words.push_back(std::move(word));
  }
  if (words.empty()) throw Error("the tokenizer has no Chinese words");
  std::vector<double> until;  // sums of the weights 1 / (rank + 20)
  for (size_t i = 0; i < words.size(); ++i)
    until.push_back((i ? until.back() : 0) + 1.0 / static_cast<double>(i + 20));
  constexpr std::array kMarks = {"，", "，", "，", "。", "。\n", "、"};
  uint64_t drawn = 0;
  std::string out;
  while (out.size() < kTextBytes) {
    for (uint64_t left = 2 + random_bits(1, 0, drawn++) % 8; left > 0; --left) {
      const double at = random_uniform(1, 1, drawn++) * until.back();
      const auto found = std::upper_bound(until.begin(), until.end(), at) - until.begin();
      out += words[std::min(words.size() - 1, static_cast<size_t>(found))];
    }
    out += kMarks[random_bits(1, 2, drawn++) % kMarks.size()];
  }
  return out;
}

std::vector<std::string> documents(const std::string& text) {
  std::vector<std::string> out;
  for (size_t at = 0; at < text.size();) {
    const size_t line = text.find('\n', std::min(text.size(), at + kDocumentBytes));
    const size_t end = line == std::string::npos ? text.size() : line + 1;
    out.push_back(text.substr(at, end - at));
    at = end;
  }
  return out;
}

struct Timed {
  double seconds;      // of processor time
  std::string digest;  // of all ids, as 32-bit numbers
};

Timed encode(const Tokenizer& tokenizer, const std::vector<std::string>& texts) {
  std::vector<std::vector<TokenId>> rows;
  rows.reserve(texts.size());
  const std::clock_t start = std::clock();
  for (const std::string& text : texts)
    rows.push_back(tokenizer.encode(text, SpecialTokens::kNone));
  const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  Hasher digest(HashKind::kSha256);
  for (const auto& row : rows)
    digest.update({reinterpret_cast<const char*>(row.data()), row.size() * sizeof(TokenId)});
  return {seconds, digest.hex()};
}

// One tokenizer on one text.
Json measure(const bench::Options& options, const fs::path& tokenizer_json,
             const Tokenizer& tokenizer, const std::string& text) {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "documents.json";
  const auto texts = documents(text);
  write_file_atomic(file, Json(texts).dump());
  const double megabytes = static_cast<double>(text.size()) / 1e6;
  std::vector<double> ours, theirs;
  encode(tokenizer, texts);  // warms up, as the peer does
  for (int round = 0; round < options.rounds; ++round) {
    Timed mine = encode(tokenizer, texts);
    for (int repeat = 1; repeat < kRepeats; ++repeat)
      mine.seconds = std::min(mine.seconds, encode(tokenizer, texts).seconds);
    ours.push_back(megabytes / mine.seconds);
    if (options.python.empty()) continue;
    const Json peer = bench::peer(options, "encode_tokenizers.py",
                                  cat("'", tokenizer_json.string(), "' '", file.string(), "'"));
    if (json_get<std::string>(peer, "digest", "peer") != mine.digest)
      throw Error("our ids differ from those of tokenizers");
    theirs.push_back(megabytes / json_get<double>(peer, "seconds", "peer"));
  }
  Json report{{"mb_per_second", bench::median(ours)}};
  if (theirs.empty()) return report;
  report["tokenizers_mb_per_second"] = bench::median(theirs);
  report["ratio"] = bench::median(ours) / bench::median(theirs);
  return report;
}

using Named = std::pair<std::string, fs::path>;  // a tokenizer.json

// The tokenizer in `file` with another split, by an expression or several.
Named with_split(const fs::path& file, const std::string& name,
                 const std::vector<std::string>& patterns) {
  Json document = read_json(file);
  Json steps = Json::array();
  for (const std::string& pattern : patterns)
    steps.push_back({{"type", "Split"},
                     {"pattern", {{"Regex", pattern}}},
                     {"behavior", "Isolated"},
                     {"invert", false}});
  steps.push_back({{"type", "ByteLevel"},
                   {"add_prefix_space", false},
                   {"trim_offsets", true},
                   {"use_regex", false}});
  document["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", steps}};
  const fs::path out = file.parent_path() / (name + ".json");
  write_file_atomic(out, document.dump());
  return {name, out};
}

// Llama 2's, as transformers runs it.
Named sentencepiece_tokenizer(const TemporaryFolder& folder) {
  const fs::path file = fs::path(kAcceptance) / "llama-spm" / "tokenizer.model";
  const MappedFile model(file);
  TokenizerFolder config;
  config.has_config = true;
  config.class_name = "LlamaTokenizer";
  Json document = tokenizer_json_from_sentencepiece(
                      read_sentencepiece_model(model.text(), file.string()), config)
                      .value();
  document["post_processor"] = nullptr;  // not used here
  const fs::path out = folder.path() / "llama-spm.json";
  write_file_atomic(out, document.dump());
  return {"llama-spm", out};
}

std::vector<Named> tokenizers(const bench::Options& options, const TemporaryFolder& folder) {
  if (!options.model.empty() || !fs::exists(kAcceptance)) {
    const fs::path model = bench::bf16_model(options, folder);
    return {{model.filename().string(), model / "tokenizer.json"}};
  }
  std::vector<Named> out;
  for (const char* name : {"llama-bpe", "gpt-2", "qwen2", "falcon"}) {
    out.emplace_back(name, folder.path() / (std::string(name) + ".json"));
    write_file_atomic(out.back().second,
                      read_all(fs::path(kAcceptance) / name / "tokenizer.json.gz"));
  }
  out.push_back(sentencepiece_tokenizer(folder));
  const fs::path llama = out.front().second;
  out.push_back(with_split(llama, "gpt-4o split", {kGpt4oPattern}));
  out.push_back(with_split(llama, "tekken split", {kTekkenPattern}));
  out.push_back(with_split(llama, "deepseek-v3 split",
                           {kDeepseek3Numbers, kDeepseek3Cjk, kDeepseek3Pattern}));
  return out;
}

// How many times faster encode_batch is than encoding one text after another.
double batch_speedup(const bench::Options& options, const Tokenizer& tokenizer,
                     const std::string& text) {
  std::vector<std::string> texts;
  for (int i = 0; i < 8; ++i) {
    for (std::string& document : documents(text)) texts.push_back(std::move(document));
  }
  const auto seconds = [](const auto& work) {
    const auto start = bench::Clock::now();
    work();
    return bench::seconds_since(start);
  };
  const auto one_by_one = [&] {
    for (const std::string& one_text : texts) tokenizer.encode(one_text, SpecialTokens::kNone);
  };
  const auto as_batch = [&] { tokenizer.encode_batch(texts, SpecialTokens::kNone); };
  one_by_one();  // both warm up
  as_batch();
  std::vector<double> ratios;
  for (int round = 0; round < options.rounds; ++round) {
    const double one = seconds(one_by_one);
    ratios.push_back(one / seconds(as_batch));
  }
  return bench::median(ratios);
}

void run(const bench::Options& options) {
  const TemporaryFolder folder;
  Json report{{"bench", "tokenizer"}, {"threads", 1}};
  const std::string english = english_text();
  std::string chinese;
  for (const auto& [name, file] : tokenizers(options, folder)) {
    const auto tokenizer = tokenizer_from_json(read_json(file), name);
    if (chinese.empty()) {
      chinese = chinese_text(*tokenizer);
      report["batch"] = {{"cores", usable_cores()},
                         {"speedup", batch_speedup(options, *tokenizer, english)}};
    }
    report[name] = {{"english", measure(options, file, *tokenizer, english)},
                    {"chinese", measure(options, file, *tokenizer, chinese)}};
    std::fprintf(stderr, "%s %s\n", name.c_str(), report[name].dump().c_str());
  }
  bench::print_report(report);
}

}  // namespace
}  // namespace gradus

int main(int argc, char** argv) { return gradus::bench::run_main(argc, argv, 5, gradus::run); }
