// SPDX-License-Identifier: Apache-2.0
#include "serve/served_model.h"

#include <algorithm>

#include "base/error.h"
#include "base/hash.h"
#include "base/system.h"
#include "data/stop_tokens.h"
#include "model/folder.h"
#include "tensor/device.h"

namespace gradus {
namespace {

constexpr int64_t kDefaultContext = 2048;

int64_t unix_time(fs::file_time_type time) {
  const auto system = std::chrono::file_clock::to_sys(time);
  return std::chrono::duration_cast<std::chrono::seconds>(system.time_since_epoch()).count();
}

// Names and sizes of the weights stand for their bytes: hashing them would double the loading time.
std::string fingerprint(const ServeRecipe& recipe, const TextTools& tools) {
  const fs::path folder = recipe.model;
  std::vector<std::string> parts;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".safetensors")
      parts.push_back(cat(entry.path().filename().string(), " ", entry.file_size()));
  }
  std::sort(parts.begin(), parts.end());
  std::string all = cat(program_version(), "\n", read_file(folder / "config.json"), "\n",
                        tools.tokenizer_digest, "\n", recipe.dtype, "\n", recipe.device, "\n");
  for (const std::string& part : parts) all += part + "\n";
  return "fp_" + sha256_hex(all).substr(0, 12);
}

std::string served_name(const ServeRecipe& recipe) {
  if (!recipe.served_model_name.empty()) return recipe.served_model_name;
  const fs::path folder = fs::weakly_canonical(recipe.model);
  return folder.filename().string();
}

int64_t context_length(const ServeRecipe& recipe, int64_t most) {
  const int64_t length = recipe.engine.context_length.value_or(std::min(most, kDefaultContext));
  if (length <= most) return length;
  throw Error({.what = "is longer than the model's positions",
               .where = "engine.context_length",
               .expected = cat("at most ", most),
               .found = cat(length)});
}

}  // namespace

std::unique_ptr<ServedModel> open_served_model(const ServeRecipe& recipe) {
  const fs::path folder = recipe.model;
  const ModelConfig config = read_model_config(folder);
  auto model = std::unique_ptr<ServedModel>(
      new ServedModel{.name = served_name(recipe), .tools = load_text_tools(folder)});
  check_tokenizer_fits(*model->tools.tokenizer, config.vocab_size, model->name);
  model->max_position_embeddings = config.max_position_embeddings;
  const int64_t context = context_length(recipe, config.max_position_embeddings);
  model->max_prompt_tokens = std::min(recipe.limits.prompt_tokens.value_or(context), context);
  model->max_answer_tokens = std::min(recipe.limits.max_tokens.value_or(context), context);
  model->stop_tokens = find_stop_tokens(folder, model->tools, config.vocab_size);
  model->fingerprint = fingerprint(recipe, model->tools);
  model->created = unix_time(fs::last_write_time(folder / "config.json"));
  return model;
}

void start_engine(ServedModel& model, const ServeRecipe& recipe) {
  LoadOptions options{.dtype = {}, .device = select_device(recipe.device)};
  if (!recipe.dtype.empty()) options.dtype = dtype_from_name(recipe.dtype);
  auto weights = std::make_shared<const Transformer>(load_model(recipe.model, options));
  const EngineOptions engine{
      .max_sequences = recipe.engine.max_sequences,
      .context_length = context_length(recipe, model.max_position_embeddings),
      .prefill_tokens = recipe.engine.prefill_tokens,
      .max_queued = recipe.engine.max_queued};
  model.engine = std::make_unique<Engine>(std::move(weights), engine);
}

}  // namespace gradus
