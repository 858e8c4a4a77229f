// SPDX-License-Identifier: Apache-2.0
// Greedy decoding of one sequence after a prompt of about 70 tokens: a model in bf16 and its int4
// form (groups of 32), beside transformers with the same model in bf16. Verified first: the first
// tokens of our bf16 model and the peer's are the same. The programs take turns; the median round
// counts.
//   bench_decode [--quick] [--model DIR] [PYTHON]     the last line is one JSON document
#include <algorithm>
#include <cstdio>

#include "base/error.h"
#include "base/system.h"
#include "bench_support.h"
#include "eval/speed.h"
#include "infer/pass.h"
#include "model/folder.h"
#include "quant/quantize_model.h"
#include "tensor/device.h"
#include "text/tokenizer.h"

namespace gradus {
namespace {

constexpr int64_t kNewTokens = 64;
constexpr int kVerified = 6;
// Its continuation is certain enough for two implementations in bf16 to agree on it.
constexpr const char* kPrompt =
    "The days of the week are Monday, Tuesday, Wednesday, Thursday, Friday, Saturday and Sunday. "
    "The months of the year are January, February, March, April, May, June, July, August, "
    "September, October, November and December. Again, the days of the week are Monday, Tuesday,";
using Ids = std::vector<int32_t>;

Ids greedy(const Transformer& model, const Ids& prompt, int count) {
  const auto past = [&](size_t done) { return static_cast<int64_t>(prompt.size() + done); };
  KvCache cache(model.config(), {.slots = 1, .capacity = past(static_cast<size_t>(count))},
                model.dtype(), model.device());
  Ids tokens;
  at::Tensor logits = run_pass(model, cache, {{.slot = 0, .past = 0, .ids = prompt}});
  while (true) {
    const float* row = logits.const_data_ptr<float>();
    tokens.push_back(static_cast<int32_t>(std::max_element(row, row + logits.size(1)) - row));
    if (tokens.size() == static_cast<size_t>(count)) return tokens;
    logits = run_pass(model, cache,
                      {{.slot = 0, .past = past(tokens.size() - 1), .ids = {tokens.back()}}});
  }
}

Transformer quantised(const fs::path& model, const fs::path& folder) {
  fs::create_directories(folder);
  QuantizeRecipe recipe;
  recipe.model = model.string();
  recipe.group_size = 32;
  quantize_model(recipe, folder);
  return load_model(folder, {});
}

Json peer_figures(const bench::Options& options, const fs::path& model, const Ids& prompt) {
  std::string ids;
  for (const int32_t id : prompt) ids += cat(" ", id);
  return bench::peer(options, "decode_transformers.py",
                     cat("'", model.string(), "' --new ", kNewTokens, " --threads ", usable_cores(),
                         " --prompt", ids));
}

void verify(const Transformer& model, const Ids& prompt, const Json& peer) {
  const Ids theirs = json_get<Ids>(peer, "tokens", "peer");
  const Ids ours = greedy(model, prompt, kVerified);
  if (!std::equal(ours.begin(), ours.end(), theirs.begin()))
    throw Error("our greedy tokens differ from transformers'");
}

void run(const bench::Options& options) {
  set_compute_threads(0);
  const TemporaryFolder folder;
  const fs::path path = bench::bf16_model(options, folder);
  const Transformer bf16 = load_model(path, {.dtype = at::kBFloat16});
  const Transformer int4 = quantised(path, folder.path() / "int4");
  const Ids prompt = load_tokenizer(path)->encode(kPrompt, SpecialTokens::kNone);
  const SpeedRecipe speed{
      .prompt_tokens = static_cast<int64_t>(prompt.size()), .new_tokens = kNewTokens, .repeats = 3};
  std::vector<double> our_bf16, our_int4, theirs;
  for (int round = 0; round < options.rounds; ++round) {
    const auto rate = [&](const Transformer& model) {
      return measure_speed(model, speed).at("decode_tokens_per_second").get<double>();
    };
    our_bf16.push_back(rate(bf16));
    our_int4.push_back(rate(int4));
    if (options.python.empty()) continue;
    const Json peer = peer_figures(options, path, prompt);
    if (round == 0) verify(bf16, prompt, peer);
    theirs.push_back(json_get<double>(peer, "tokens_per_second", "peer"));
  }
  Json report{{"bench", "decode"},
              {"threads", usable_cores()},
              {"bf16_tokens_per_second", bench::median(our_bf16)},
              {"int4_tokens_per_second", bench::median(our_int4)}};
  if (!theirs.empty()) {
    const double peer = bench::median(theirs);
    report["transformers_bf16_tokens_per_second"] = peer;
    report["bf16_ratio"] = bench::median(our_bf16) / peer;
    report["int4_ratio"] = bench::median(our_int4) / peer;
  }
  bench::print_report(report);
}

}  // namespace
}  // namespace gradus

int main(int argc, char** argv) { return gradus::bench::run_main(argc, argv, 5, gradus::run); }
