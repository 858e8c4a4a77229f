// SPDX-License-Identifier: Apache-2.0
#include "data/shape.h"

#include "base/error.h"

namespace gradus {
namespace {

struct RoleName {
  const char* sharegpt;
  const char* openai;
};
constexpr RoleName kRoles[] = {
    {"human", "user"},     {"user", "user"},           {"gpt", "assistant"},
    {"system", "system"},  {"assistant", "assistant"}, {"chatgpt", "assistant"},
    {"bing", "assistant"}, {"model", "assistant"},     {"function_call", "assistant"},
    {"tool", "tool"},      {"observation", "tool"},    {"function_response", "tool"},
};

std::string keys_of(const Json& row) {
  std::string names;
  for (const auto& [key, value] : row.items()) names += (names.empty() ? "" : ", ") + key;
  return printable(names, 120);
}

std::string messages_key(RowShape shape, const RowKeys& keys) {
  if (!keys.messages_key.empty()) return keys.messages_key;
  return shape == RowShape::kShareGpt ? "conversations" : "messages";
}

const Json& turns_of(const Json& row, const std::string& key, const std::string& where) {
  if (!row.contains(key)) json_missing(key, where);
  const Json& turns = row.at(key);
  if (!turns.is_array()) json_wrong_type(turns, key, "a list of turns", where);
  if (turns.empty()) throw Error({.what = "key '" + key + "' has no turns", .where = where});
  return turns;
}

// First "from", then "role": what the turns of a list look like.
bool turns_have(const Json& row, const std::string& key, const char* member) {
  return row.contains(key) && row.at(key).is_array() && !row.at(key).empty() &&
         row.at(key).front().is_object() && row.at(key).front().contains(member);
}

Json turn(const char* role, std::string content) {
  return Json{{"role", role}, {"content", std::move(content)}};
}

void add_system(Json& messages, const Json& row, const std::string& where) {
  std::string system = json_get<std::string>(row, "system", "", where);
  if (!system.empty()) messages.push_back(turn("system", std::move(system)));
}

void add_history(Json& messages, const Json& history, const std::string& where) {
  if (!history.is_array()) json_wrong_type(history, "history", "a list of pairs", where);
  for (const auto& pair : history) {
    const bool fits =
        pair.is_array() && pair.size() == 2 && pair[0].is_string() && pair[1].is_string();
    if (!fits) json_wrong_type(pair, "history", "pairs [user, assistant] of strings", where);
    messages.push_back(turn("user", pair[0].get<std::string>()));
    messages.push_back(turn("assistant", pair[1].get<std::string>()));
  }
}

Json alpaca_messages(const Json& row, const std::string& where) {
  Json messages = Json::array();
  add_system(messages, row, where);
  if (row.contains("history") && !row.at("history").is_null())
    add_history(messages, row.at("history"), where);
  std::string request = json_get<std::string>(row, "instruction", where);
  const std::string input = json_get<std::string>(row, "input", "", where);
  if (!input.empty()) request += (request.empty() ? "" : "\n\n") + input;
  messages.push_back(turn("user", std::move(request)));
  messages.push_back(turn("assistant", json_get<std::string>(row, "output", where)));
  return messages;
}

const char* openai_role(const std::string& role, const std::string& where) {
  std::vector<std::string> known;
  for (const auto& entry : kRoles) {
    if (role == entry.sharegpt) return entry.openai;
    known.emplace_back(entry.sharegpt);
  }
  throw Error({.what = "unknown speaker '" + printable(role, 40) + "'",
               .where = where,
               .expected = "human, gpt, system, tool",
               .hint = nearest_name(role, known)});
}

Json sharegpt_messages(const Json& row, const std::string& key, const std::string& where) {
  Json messages = Json::array();
  add_system(messages, row, where);
  const Json& turns = turns_of(row, key, where);
  for (size_t i = 0; i < turns.size(); ++i) {
    const std::string place = cat(where, ": ", key, "[", i, "]");
    const char* role = openai_role(json_get<std::string>(turns[i], "from", place), place);
    messages.push_back(turn(role, json_get<std::string>(turns[i], "value", place)));
  }
  return messages;
}

void check_message(const Json& message, const std::string& where) {
  if (!message.is_object()) throw Error({.what = "a turn is not a JSON object", .where = where});
  if (json_get<std::string>(message, "role", where).empty())
    throw Error({.what = "the role is empty", .where = where});
  if (!message.contains("content")) {
    if (!message.contains("tool_calls")) json_missing("content", where);
    return;
  }
  const Json& content = message.at("content");
  if (!content.is_string() && !content.is_array() && !content.is_null())
    json_wrong_type(content, "content", "a string, a list of parts or null", where);
}

Json openai_messages(const Json& row, const std::string& key, const std::string& where) {
  const Json& turns = turns_of(row, key, where);
  for (size_t i = 0; i < turns.size(); ++i)
    check_message(turns[i], cat(where, ": ", key, "[", i, "]"));
  return turns;
}

// Some data sets hold the tools as JSON inside a string.
Json tools_of(const Json& row, const std::string& where) {
  if (!row.contains("tools")) return nullptr;
  const Json& tools = row.at("tools");
  if (tools.is_string() && tools.get_ref<const std::string&>().empty()) return nullptr;
  Json list = tools.is_string() ? parse_json(tools.get<std::string>(), where + ": tools") : tools;
  if (!list.is_array() && !list.is_null()) json_wrong_type(list, "tools", "a list", where);
  return list;
}

}  // namespace

DetectedShape detect_shape(const Json& row, const RowKeys& keys, const std::string& where) {
  const auto found = [](RowShape shape, const std::string& key, const std::string& sign) {
    return DetectedShape{shape, key, cat(recipe_name(shape), ": the first row has ", sign)};
  };
  for (const std::string& key :
       {keys.messages_key, std::string("messages"), std::string("conversations")}) {
    if (turns_have(row, key, "role"))
      return found(RowShape::kMessages, key, cat("'", key, "' with 'role'"));
    if (turns_have(row, key, "from"))
      return found(RowShape::kShareGpt, key, cat("'", key, "' with 'from'"));
  }
  if (row.contains("instruction") && row.contains("output"))
    return found(RowShape::kAlpaca, "", "'instruction' and 'output'");
  if (row.contains(keys.text_key)) return found(RowShape::kText, "", cat("'", keys.text_key, "'"));
  throw Error(
      {.what = "the keys of the first row fit no known shape",
       .where = where,
       .expected = cat("messages, conversations, instruction and output, or ", keys.text_key),
       .found = keys_of(row),
       .hint = "set shape with text_key or messages_key"});
}

std::string row_text(const Json& row, const RowKeys& keys, const std::string& where) {
  return json_get<std::string>(row, keys.text_key, where);
}

ChatRow row_chat(const Json& row, RowShape shape, const RowKeys& keys, const std::string& where) {
  const std::string key = messages_key(shape, keys);
  switch (shape) {
    case RowShape::kAlpaca:
      return {alpaca_messages(row, where), nullptr};
    case RowShape::kShareGpt:
      return {sharegpt_messages(row, key, where), tools_of(row, where)};
    case RowShape::kMessages:
      return {openai_messages(row, key, where), tools_of(row, where)};
    default:
      throw std::logic_error("row_chat: not a chat shape");
  }
}

}  // namespace gradus
