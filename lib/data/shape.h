// SPDX-License-Identifier: Apache-2.0
// What a row holds. Every chat shape becomes the turns of OpenAI's `messages`, so that the chat
// template sees one form:
//   text      {"text": "…"}                                    (the key is chosen by text_key)
//   alpaca    {"instruction", "input"?, "output", "system"?, "history"?: [[user, assistant], …]}
//   sharegpt  {"conversations": [{"from": "human"|"gpt"|…, "value"}], "system"?, "tools"?}
//   messages  {"messages": [{"role", "content", …}], "tools"?}
#pragma once

#include <string>

#include "base/json.h"
#include "data/recipe.h"

namespace gradus {

struct RowKeys {
  std::string text_key = "text";
  std::string messages_key = {};  // empty: the usual key of the shape
};

struct DetectedShape {
  RowShape shape;
  std::string messages_key;  // of the chat shapes that have one
  std::string reason;        // "messages: the first row has 'messages' with roles"
};

// Decides by the keys of one row; throws naming the keys found when they fit no shape.
DetectedShape detect_shape(const Json& row, const RowKeys& keys, const std::string& where);

inline bool is_chat(RowShape shape) { return shape != RowShape::kText; }

// The text of a row; throws at `where` when it is missing or not a string.
std::string row_text(const Json& row, const RowKeys& keys, const std::string& where);

struct ChatRow {
  Json messages;  // array of {"role": string, "content": string | parts | null, …}, not empty
  Json tools;     // array, or null
};

// Throws at `where` naming the turn that does not fit.
ChatRow row_chat(const Json& row, RowShape shape, const RowKeys& keys, const std::string& where);

}  // namespace gradus
