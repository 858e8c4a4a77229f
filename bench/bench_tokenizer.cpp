// SPDX-License-Identifier: Apache-2.0
// Tokenizer speed on one core: loading, encoding, encoding with spans, decoding. Verified first
// (streamed text = decoded text, ids with spans = ids), then timed: the median of many passes.
//
//   bench_tokenizer --tokenizer DIR|FILE --text FILE [--seconds S]     the last line is one JSON
//   document
//
// FILE for --tokenizer is a tokenizer.json or a .model; --text is plain UTF-8. Text is cut at line
// ends into documents of about 4 KiB. The cache of pieces is warm, as in training and serving.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <iostream>

#include "base/error.h"
#include "text/tokenizer.h"

namespace {

using namespace gradus;
using Clock = std::chrono::steady_clock;

constexpr size_t kDocumentBytes = 4096;

struct Options {
  fs::path tokenizer, text;
  double seconds = 2;
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double median_seconds(double budget, const std::function<void()>& pass) {
  std::vector<double> times;
  const auto start = Clock::now();
  while (times.size() < 3 || seconds_since(start) < budget) {
    const auto before = Clock::now();
    pass();
    times.push_back(seconds_since(before));
  }
  std::nth_element(times.begin(), times.begin() + static_cast<long>(times.size() / 2), times.end());
  return times[times.size() / 2];
}

Options read_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    if (flag == "--tokenizer")
      options.tokenizer = argv[i + 1];
    else if (flag == "--text")
      options.text = argv[i + 1];
    else if (flag == "--seconds")
      options.seconds = std::stod(argv[i + 1]);
    else
      throw UsageError("unknown option " + flag);
  }
  if (argc % 2 == 0 || options.tokenizer.empty() || options.text.empty())
    throw UsageError("usage: bench_tokenizer --tokenizer DIR|FILE --text FILE [--seconds S]");
  return options;
}

std::unique_ptr<Tokenizer> load(const fs::path& path) {
  if (fs::is_directory(path)) return load_tokenizer(path);
  if (path.extension() == ".model") return tokenizer_from_sentencepiece(path);
  return tokenizer_from_json(read_json(path), path.string());
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

// All ids, after checking that the ways to encode and to decode agree.
std::vector<std::vector<TokenId>> verify(const Tokenizer& tokenizer,
                                         const std::vector<std::string>& texts) {
  std::vector<std::vector<TokenId>> all;
  for (const std::string& text : texts) {
    all.push_back(tokenizer.encode(text, SpecialTokens::kNone));
    if (tokenizer.encode_with_spans(text, SpecialTokens::kNone).ids != all.back())
      throw Error("ids with spans differ from ids without");
    StreamDecoder decoder(tokenizer, DecodeSpecial::kKeep);
    std::string streamed;
    for (const TokenId id : all.back()) streamed += decoder.push(id);
    if (streamed + decoder.finish() != tokenizer.decode(all.back(), DecodeSpecial::kKeep))
      throw Error("streamed text differs from decoded text");
  }
  return all;
}

int run(const Options& options) {
  const auto start = Clock::now();
  const auto tokenizer = load(options.tokenizer);
  Json report = {{"bench", "tokenizer"},
                 {"tokenizer", options.tokenizer.string()},
                 {"load_seconds", seconds_since(start)}};
  const std::string text = read_file(options.text);
  const auto texts = documents(text);
  const auto ids = verify(*tokenizer, texts);
  size_t tokens = 0;
  for (const auto& row : ids) tokens += row.size();
  report["text_bytes"] = text.size();
  report["tokens"] = tokens;
  const auto time = [&](const char* name, const std::function<void(size_t)>& work) {
    const double seconds = median_seconds(options.seconds, [&] {
      for (size_t i = 0; i < texts.size(); ++i) work(i);
    });
    report[cat(name, "_mb_per_second")] = static_cast<double>(text.size()) / 1e6 / seconds;
    report[cat(name, "_tokens_per_second")] = static_cast<double>(tokens) / seconds;
    std::printf("%-18s %8.1f MB/s %12.0f tokens/s\n", name, double(text.size()) / 1e6 / seconds,
                double(tokens) / seconds);
  };
  time("encode", [&](size_t i) { tokenizer->encode(texts[i], SpecialTokens::kNone); });
  time("encode_with_spans",
       [&](size_t i) { tokenizer->encode_with_spans(texts[i], SpecialTokens::kNone); });
  time("decode", [&](size_t i) { tokenizer->decode(ids[i], DecodeSpecial::kKeep); });
  std::cout << report.dump() << "\n";
  return kExitOk;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(read_options(argc, argv));
  } catch (const Error& error) {
    std::cerr << "bench_tokenizer: " << error.what() << "\n";
    return error.code();
  }
}
