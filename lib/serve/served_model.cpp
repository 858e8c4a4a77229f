// SPDX-License-Identifier: Apache-2.0
#include "serve/served_model.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/system.h"
#include "data/chat_mask.h"
#include "model/folder.h"
#include "tensor/device.h"

namespace gradus {
namespace {

constexpr int64_t kDefaultContext = 2048;

void add_ids(const Json& document, std::set<int64_t>& ids) {
  const Json value = document.value("eos_token_id", Json());
  if (value.is_number_integer()) ids.insert(value.get<int64_t>());
  if (!value.is_array()) return;
  for (const Json& id : value) {
    if (id.is_number_integer()) ids.insert(id.get<int64_t>());
  }
}

// The end-of-turn token is where training finds it: behind the content of an assistant's turn.
std::optional<int32_t> turn_end(const TextTools& tools) {
  ChatInput input{.messages = Json::array({Json{{"role", "user"}, {"content", "a"}},
                                           Json{{"role", "assistant"}, {"content", "b"}}}),
                  .tools = {},
                  .add_generation_prompt = false,
                  .bos_token = tools.bos_token,
                  .eos_token = tools.eos_token,
                  .extra = Json::object(),
                  .now = {}};
  const RenderedChat chat = tools.chat_template->render_traced(input);
  const Encoding encoding = tools.tokenizer->encode_with_spans(chat.text, SpecialTokens::kNone);
  const auto turns = assistant_turns(input.messages, chat, TrainOn::kLastAssistant);
  const ChatMask mask = mask_turns(turns, chat.text, encoding, *tools.tokenizer, tools.eos_token);
  if (mask.turns_ended == 0) return std::nullopt;
  const auto last = std::find(mask.supervised.rbegin(), mask.supervised.rend(), true);
  return encoding.ids[static_cast<size_t>(mask.supervised.rend() - last) - 1];
}

std::optional<int32_t> turn_end_or_none(const TextTools& tools) {
  if (!tools.chat_template) return std::nullopt;
  try {
    return turn_end(tools);
  } catch (const Error& error) {
    log_warning("serve", cat("no end-of-turn token from the chat template: ", error.what()));
    return std::nullopt;
  }
}

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

std::vector<int32_t> find_stop_tokens(const fs::path& folder, const TextTools& tools,
                                      int64_t vocab_size) {
  std::set<int64_t> ids;
  for (const char* name : {"config.json", "generation_config.json"}) {
    if (fs::exists(folder / name)) add_ids(read_json(folder / name), ids);
  }
  if (const auto id = tools.tokenizer->token_to_id(tools.eos_token); id && !tools.eos_token.empty())
    ids.insert(*id);
  if (const auto id = turn_end_or_none(tools)) ids.insert(*id);
  std::vector<int32_t> stops;
  for (const int64_t id : ids) {
    if (id >= 0 && id < vocab_size) stops.push_back(static_cast<int32_t>(id));
  }
  return stops;
}

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
