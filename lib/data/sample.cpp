// SPDX-License-Identifier: Apache-2.0
#include "data/sample.h"

#include <algorithm>

#include "base/error.h"
#include "data/chat_mask.h"
#include "text/unicode.h"

namespace gradus {
namespace {

TokenId eos_id(const TextTools& tools) {
  const auto id =
      tools.eos_token.empty() ? std::nullopt : tools.tokenizer->token_to_id(tools.eos_token);
  if (id) return *id;
  throw Error({.what = tools.eos_token.empty()
                           ? std::string("the model has no end-of-sequence token")
                           : cat("the end-of-sequence token '", tools.eos_token,
                                 "' is not in the tokenizer"),
               .where = "append_eos",
               .hint = "set append_eos: false, or complete tokenizer_config.json"});
}

ChatInput chat_input(const ChatRow& row, const TextTools& tools) {
  ChatInput input;
  input.messages = row.messages;
  input.tools = row.tools;
  input.bos_token = tools.bos_token;
  input.eos_token = tools.eos_token;
  input.now = 0;  // a template that prints the date must not change the cache from day to day
  return input;
}

RenderedChat render(const ChatInput& input, const TextTools& tools, const std::string& where) {
  try {
    return tools.chat_template->render_traced(input);
  } catch (const Error& error) {
    throw Error({.what = cat("the chat template refused the conversation: ", error.what()),
                 .where = where});
  }
}

// An empty answer leaves no trace. Its place is found by rendering the same conversation with one
// visible character there, and counts only if taking that character out gives the same text.
std::optional<TextSpan> place_of_empty(const ChatInput& input, size_t message,
                                       const std::string& text, const TextTools& tools) {
  constexpr std::string_view kVisible = "x";
  ChatInput filled = input;
  filled.messages[message]["content"] = kVisible;
  const RenderedChat chat = tools.chat_template->render_traced(filled);
  for (const auto& span : chat.contents) {
    if (span.message != message || span.text.end - span.text.begin != kVisible.size()) continue;
    std::string without = chat.text;
    without.erase(span.text.begin, kVisible.size());
    if (without == text) return TextSpan{span.text.begin, span.text.begin};
  }
  return std::nullopt;
}

// Some templates leave the last answer open, so that nothing would teach the model to stop.
void close_answer(Sample& sample, size_t answer_end, const TextTools& tools) {
  const auto eos = tools.tokenizer->token_to_id(tools.eos_token);
  if (tools.eos_token.empty() || !eos) return;
  const auto end = sample.supervised.begin() + static_cast<ptrdiff_t>(answer_end);
  std::fill(end, sample.supervised.end(), true);  // white space behind the answer
  sample.ids.push_back(*eos);
  sample.supervised.push_back(true);
  ++sample.turns_ended;
}

bool is_empty_answer(const Json& message) {
  return message.contains("content") && message.at("content").is_string() &&
         message.at("content").get_ref<const std::string&>().empty() &&
         !message.contains("tool_calls");
}

}  // namespace

void require_tools(RowShape shape, const TextTools& tools, const SampleOptions& options) {
  if (!is_chat(shape)) {
    if (options.append_eos) eos_id(tools);
  } else if (!tools.chat_template) {
    throw Error(
        ErrorParts{.what = "the model has no chat template, which conversations need",
                   .hint = "put chat_template.jinja into the model folder, or use shape: text"});
  }
}

Sample text_sample(const std::string& text, const TextTools& tools, const SampleOptions& options) {
  const auto special = options.add_special_tokens ? SpecialTokens::kAdd : SpecialTokens::kNone;
  Sample sample;
  sample.ids = tools.tokenizer->encode(text, special);
  sample.text_bytes = static_cast<int64_t>(text.size());
  if (options.append_eos) {
    const TokenId eos = eos_id(tools);
    if (sample.ids.empty() || sample.ids.back() != eos) sample.ids.push_back(eos);
  }
  sample.supervised.assign(sample.ids.size(), true);
  return sample;
}

Sample chat_sample(const ChatRow& row, const TextTools& tools, const SampleOptions& options,
                   const std::string& where) {
  const ChatInput input = chat_input(row, tools);
  const RenderedChat chat = render(input, tools, where);
  Encoding encoding = encode_chat(chat, *tools.tokenizer);
  auto turns = assistant_turns(row.messages, chat, options.train_on);
  for (auto& turn : turns) {
    if (!turn.content && !turn.generation && is_empty_answer(row.messages[turn.message]))
      turn.content = place_of_empty(input, turn.message, chat.text, tools);
  }
  ChatMask mask = mask_turns(turns, chat.text, encoding, *tools.tokenizer, tools.eos_token);
  Sample sample{.ids = std::move(encoding.ids),
                .supervised = std::move(mask.supervised),
                .text_bytes = static_cast<int64_t>(chat.text.size()),
                .turns = static_cast<int32_t>(turns.size()),
                .turns_found = mask.turns_found,
                .turns_ended = mask.turns_ended};
  if (mask.open_end && options.append_eos) close_answer(sample, *mask.open_end, tools);
  if (options.train_on == TrainOn::kEverything) sample.supervised.assign(sample.ids.size(), true);
  return sample;
}

std::string marked_preview(const Sample& sample, const Tokenizer& tokenizer, size_t limit) {
  std::string text;
  bool inside = false;
  for (size_t i = 0; i < sample.ids.size() && text.size() < limit; ++i) {
    const bool learned = sample.supervised[i] && i > 0;
    if (learned != inside) text += learned ? "⟦" : "⟧";
    inside = learned;
    text += tokenizer.token_bytes(sample.ids[i]);
  }
  if (inside) text += "⟧";
  return utf8_lossy(text);
}

}  // namespace gradus
