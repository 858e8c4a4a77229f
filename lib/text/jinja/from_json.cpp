// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/from_json.h"

#include "base/error.h"
#include "text/jinja/print.h"

namespace gradus::jinja {
namespace {

Value integer_from_json(const Json& json) {
  if (json.is_number_unsigned()) return Value::integer(static_cast<Int>(json.get<uint64_t>()));
  return Value::integer(static_cast<Int>(json.get<int64_t>()));
}

Value traced_string(const std::string& text, size_t message) {
  Text traced(text);
  traced.mark(0, static_cast<int64_t>(message));
  return Value::string(std::move(traced));
}

Value part_from_json(const Json& part, size_t message) {
  if (part.is_string()) return traced_string(part.get_ref<const std::string&>(), message);
  if (!part.is_object()) return from_json(part);
  auto dict = std::make_shared<DictObject>();
  for (const auto& [key, value] : part.items()) {
    const bool text = key == "text" && value.is_string();
    dict->set(Value::string(key), text ? traced_string(value.get_ref<const std::string&>(), message)
                                       : from_json(value));
  }
  return Value::dict(std::move(dict));
}

Value content_from_json(const Json& content, size_t message) {
  if (content.is_string()) return traced_string(content.get_ref<const std::string&>(), message);
  if (!content.is_array()) return from_json(content);
  std::vector<Value> parts;
  for (const Json& part : content) parts.push_back(part_from_json(part, message));
  return Value::list(std::move(parts));
}

const Json* reasoning_of(const Json& message) {
  for (const char* field : {"reasoning_content", "thinking", "reasoning"}) {
    const auto found = message.find(field);
    if (found != message.end() && !found->is_null()) return &*found;
  }
  return nullptr;
}

Value message_from_json(const Json& message, size_t index) {
  if (!message.is_object()) {
    throw Error({.what = "a chat message must be an object",
                 .where = cat("messages[", index, "]"),
                 .found = message.type_name()});
  }
  auto dict = std::make_shared<DictObject>();
  const Json* reasoning = reasoning_of(message);
  if (reasoning != nullptr) dict->set(Value::string("thinking"), from_json(*reasoning));
  for (const auto& [key, value] : message.items()) {
    dict->set(Value::string(key),
              key == "content" ? content_from_json(value, index) : from_json(value));
  }
  if (reasoning != nullptr) dict->set(Value::string("reasoning_content"), from_json(*reasoning));
  return Value::dict(std::move(dict));
}

}  // namespace

Value from_json(const Json& json) {
  const DepthGuard guard;
  switch (json.type()) {
    case Json::value_t::boolean:
      return Value::boolean(json.get<bool>());
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
      return integer_from_json(json);
    case Json::value_t::number_float:
      return Value::real(json.get<double>());
    case Json::value_t::string:
      return Value::string(Text(json.get_ref<const std::string&>()));
    case Json::value_t::array: {
      std::vector<Value> items;
      for (const Json& item : json) items.push_back(from_json(item));
      return Value::list(std::move(items));
    }
    case Json::value_t::object: {
      auto dict = std::make_shared<DictObject>();
      for (const auto& [key, value] : json.items()) dict->set(Value::string(key), from_json(value));
      return Value::dict(std::move(dict));
    }
    default:
      return Value::none();
  }
}

Value messages_from_json(const Json& messages) {
  if (!messages.is_array()) {
    throw Error({.what = "a conversation must be a list of messages",
                 .where = "messages",
                 .found = messages.type_name()});
  }
  std::vector<Value> items;
  for (size_t i = 0; i < messages.size(); ++i) items.push_back(message_from_json(messages[i], i));
  return Value::list(std::move(items));
}

}  // namespace gradus::jinja
