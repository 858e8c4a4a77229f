// SPDX-License-Identifier: Apache-2.0
#include "eval/prompts.h"

#include "base/error.h"
#include "base/hash.h"
#include "data/chat_mask.h"
#include "data/shape.h"
#include "text/unicode.h"

namespace gradus {
namespace {

bool is_assistant(const Json& turn) { return turn.at("role") == "assistant"; }
bool is_system(const Json& turn) { return turn.at("role") == "system"; }

Json chat_turns(const EvalRow& row, const std::string& messages_key) {
  return row_chat(row.value, RowShape::kMessages, {.messages_key = messages_key}, row.where)
      .messages;
}

std::string content_text(const Json& turn, const std::string& where) {
  if (!turn.contains("content") || !turn.at("content").is_string())
    throw Error({.what = "the last assistant turn has no text to compare with", .where = where});
  return turn.at("content").get<std::string>();
}

// What Python's str.rstrip() takes off: White_Space and the four separators.
bool is_python_space(char32_t c) { return is_white_space(c) || (c >= 0x1c && c <= 0x1f); }

size_t end_without_spaces(std::string_view text) {
  size_t end = text.size();
  while (end > 0) {
    const CodePoint last = decode_utf8_before(text, end);
    if (!is_python_space(last.value)) break;
    end -= last.bytes;
  }
  return end;
}

}  // namespace

PromptMaker::PromptMaker(const PromptRecipe& recipe, const TextTools& tools)
    : recipe_(recipe), tools_(tools) {
  if (recipe_.chat && !tools_.chat_template)
    throw Error({.what = "the model has no chat template",
                 .where = "prompt.chat",
                 .hint = "set chat: false, or evaluate an instruction model"});
  read_examples();
  std::string examples;
  for (const EvalRow& example : examples_) examples += example.digest;
  description_ = {
      {"mode", recipe_.chat ? "chat" : "text"},
      {"examples", examples_.size()},
      {"examples_digest", examples_.empty() ? Json(nullptr) : Json(sha256_hex(examples))}};
}

void PromptMaker::read_examples() {
  if (!recipe_.few_shot) return;
  const int64_t wanted = recipe_.few_shot->count.value_or(0);
  examples_ = read_rows(recipe_.few_shot->path, wanted);
  if (static_cast<int64_t>(examples_.size()) < wanted)
    throw Error({.what = "holds too few examples",
                 .where = recipe_.few_shot->path,
                 .expected = cat(wanted),
                 .found = cat(examples_.size())});
}

// The row's turns up to the question, without system turns that the instruction replaces.
Json PromptMaker::question_turns(const EvalRow& row) const {
  Json turns = Json::array();
  if (row.value.contains(recipe_.messages_key)) {
    turns = chat_turns(row, recipe_.messages_key);
    if (is_assistant(turns.back())) turns.erase(turns.size() - 1);
  } else {
    turns.push_back({{"role", "user"}, {"content", row_member(row, recipe_.prompt_key)}});
  }
  if (recipe_.instruction.empty()) return turns;
  Json result = Json::array({{{"role", "system"}, {"content", recipe_.instruction}}});
  for (Json& turn : turns) {
    if (!is_system(turn)) result.push_back(std::move(turn));
  }
  return result;
}

Json PromptMaker::answer(const EvalRow& row) const {
  if (!recipe_.answer_key.empty()) {
    if (!row.value.contains(recipe_.answer_key)) json_missing(recipe_.answer_key, row.where);
    return row.value.at(recipe_.answer_key);
  }
  if (!row.value.contains(recipe_.messages_key))
    throw Error(
        {.what = "has no answer", .where = row.where, .hint = "name its key in prompt.answer_key"});
  const Json turns = chat_turns(row, recipe_.messages_key);
  if (!is_assistant(turns.back()))
    throw Error({.what = "its last turn is not the assistant's", .where = row.where});
  return content_text(turns.back(), row.where);
}

std::string PromptMaker::answer_text(const EvalRow& row) const {
  const Json value = answer(row);
  if (!value.is_string())
    throw Error({.what = "an example's answer must be a text", .where = row.where});
  return value.get<std::string>();
}

std::string PromptMaker::render(const Json& messages, const std::string& where) const {
  try {
    return tools_.chat_template->render({.messages = messages,
                                         .tools = {},
                                         .add_generation_prompt = true,
                                         .bos_token = tools_.bos_token,
                                         .eos_token = tools_.eos_token,
                                         .extra = Json::object(),
                                         .now = 0});  // a fixed date: results must not change
  } catch (const Error& error) {
    throw Error({.what = error.what(), .where = where});
  }
}

// Examples stand between the system turn and the question.
std::string PromptMaker::chat_prompt(const EvalRow& row) const {
  const Json question = question_turns(row);
  Json turns = Json::array();
  size_t next = 0;
  while (next < question.size() && is_system(question[next])) turns.push_back(question[next++]);
  for (const EvalRow& example : examples_) {
    for (const Json& turn : question_turns(example)) {
      if (!is_system(turn)) turns.push_back(turn);
    }
    turns.push_back({{"role", "assistant"}, {"content", answer_text(example)}});
  }
  for (; next < question.size(); ++next) turns.push_back(question[next]);
  return render(turns, row.where);
}

std::string PromptMaker::text_prompt(const EvalRow& row) const {
  std::string text = recipe_.instruction;
  for (const EvalRow& example : examples_) {
    text += row_member(example, recipe_.prompt_key) + recipe_.delimiter + answer_text(example) +
            recipe_.few_shot->separator;
  }
  return text + row_member(row, recipe_.prompt_key);
}

std::string PromptMaker::prompt(const EvalRow& row) const {
  return recipe_.chat ? chat_prompt(row) : text_prompt(row);
}

std::string PromptMaker::end_of_turn() const {
  const Json messages = Json::array({{{"role", "user"}, {"content", "question"}},
                                     {{"role", "assistant"}, {"content", "answer"}}});
  const RenderedChat chat = tools_.chat_template->render_traced({.messages = messages,
                                                                 .tools = {},
                                                                 .add_generation_prompt = false,
                                                                 .bos_token = tools_.bos_token,
                                                                 .eos_token = tools_.eos_token,
                                                                 .extra = Json::object(),
                                                                 .now = 0});
  const auto turns = assistant_turns(messages, chat, TrainOn::kLastAssistant);
  const Encoding encoding = tools_.tokenizer->encode_with_spans(chat.text, SpecialTokens::kNone);
  const ChatMask mask = mask_turns(turns, chat.text, encoding, *tools_.tokenizer, tools_.eos_token);
  if (mask.turns_ended != 1 || !turns.front().content)
    throw Error({.what = "the chat template writes no end-of-turn token",
                 .where = std::string("multiple_choice.end_of_turn")});
  size_t end = turns.front().content->end;
  for (size_t i = 0; i < encoding.ids.size(); ++i) {
    if (mask.supervised[i]) end = std::max(end, encoding.spans[i].end);
  }
  const size_t begin = turns.front().content->end;
  return chat.text.substr(begin, end - begin);
}

PairEncoder::PairEncoder(const TextTools& tools, Mode mode) : tools_(tools), mode_(mode) {
  const std::string& token = tools.bos_token.empty() ? tools.eos_token : tools.bos_token;
  const auto id = token.empty() ? std::nullopt : tools.tokenizer->token_to_id(token);
  if (!id)
    throw Error("the model has neither a beginning nor an end-of-sequence token to start with");
  prefix_token_ = *id;
  prefix_text_ = tools.tokenizer->decode({*id}, DecodeSpecial::kKeep);
}

std::vector<TokenId> PairEncoder::encode_text(std::string_view text) const {
  const bool plain = mode_ != Mode::kText || text.substr(0, prefix_text_.size()) == prefix_text_;
  return tools_.tokenizer->encode(text, plain ? SpecialTokens::kNone : SpecialTokens::kAdd);
}

PairEncoder::Pair PairEncoder::encode(std::string_view prompt,
                                      std::string_view continuation) const {
  const std::string whole = std::string(prompt) + std::string(continuation);
  if (prompt.empty()) {
    Pair pair{{prefix_token_}, tools_.tokenizer->encode(continuation, SpecialTokens::kNone)};
    if (!pair.continuation.empty() && pair.continuation.front() == prefix_token_)
      pair.continuation.erase(pair.continuation.begin());
    return pair;
  }
  const size_t end = mode_ == Mode::kTurn ? prompt.size() : end_without_spaces(prompt);
  Pair pair{encode_text(prompt.substr(0, end)), encode_text(whole)};
  const size_t shared = std::min(pair.prompt.size(), pair.continuation.size());
  pair.continuation.erase(pair.continuation.begin(),
                          pair.continuation.begin() + static_cast<ptrdiff_t>(shared));
  return pair;
}

}  // namespace gradus
