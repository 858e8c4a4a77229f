// SPDX-License-Identifier: Apache-2.0
#include "eval/speed.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "base/signals.h"
#include "infer/pass.h"

namespace gradus {
namespace {

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

int32_t likeliest(const at::Tensor& logits) {
  const float* row = logits.const_data_ptr<float>();
  return static_cast<int32_t>(std::max_element(row, row + logits.size(1)) - row);
}

// Any ids do: the work does not depend on them.
std::vector<int32_t> prompt_ids(int64_t count, int64_t vocabulary) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i)
    ids.push_back(static_cast<int32_t>((1 + 7919 * i) % vocabulary));
  return ids;
}

}  // namespace

void check_speed(const SpeedRecipe& recipe, const ModelConfig& config) {
  const int64_t length = recipe.prompt_tokens + recipe.new_tokens;
  if (length <= config.max_position_embeddings) return;
  throw Error({.what = "is longer than the model's positions",
               .where = "speed.prompt_tokens + speed.new_tokens",
               .expected = cat("at most ", config.max_position_embeddings),
               .found = cat(length)});
}

Json measure_speed(const Transformer& model, const SpeedRecipe& recipe) {
  KvCache cache(model.config(), {.slots = 1, .capacity = recipe.prompt_tokens + recipe.new_tokens},
                model.dtype(), model.device());
  const std::vector<int32_t> prompt = prompt_ids(recipe.prompt_tokens, model.config().vocab_size);
  std::vector<double> prefill, decode;
  for (int64_t run = 0; run <= recipe.repeats; ++run) {  // the first one warms up
    throw_if_stopped();
    int32_t next = 0;
    const double prefill_seconds = seconds_of(
        [&] { next = likeliest(run_pass(model, cache, {{.slot = 0, .past = 0, .ids = prompt}})); });
    const double decode_seconds = seconds_of([&] {
      for (int64_t i = 0; i < recipe.new_tokens; ++i)
        next = likeliest(
            run_pass(model, cache, {{.slot = 0, .past = recipe.prompt_tokens + i, .ids = {next}}}));
    });
    if (run == 0) continue;
    prefill.push_back(static_cast<double>(recipe.prompt_tokens) / prefill_seconds);
    decode.push_back(static_cast<double>(recipe.new_tokens) / decode_seconds);
  }
  return {{"prefill_tokens_per_second", median(prefill)},
          {"decode_tokens_per_second", median(decode)},
          {"prompt_tokens", recipe.prompt_tokens},
          {"new_tokens", recipe.new_tokens},
          {"repeats", recipe.repeats}};
}

}  // namespace gradus
