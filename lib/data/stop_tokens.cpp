// SPDX-License-Identifier: Apache-2.0
#include "data/stop_tokens.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "data/chat_mask.h"

namespace gradus {
namespace {

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
    log_warning("text", cat("no end-of-turn token from the chat template: ", error.what()));
    return std::nullopt;
  }
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

}  // namespace gradus
