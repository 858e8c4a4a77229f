// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/json.h"
#include "text/jinja/value.h"

namespace gradus::jinja {

Value from_json(const Json& json);
// A conversation: messages are dicts whose contents are traced, with the reasoning fields aliased
// as transformers does (reasoning_content, thinking, reasoning).
Value messages_from_json(const Json& messages);

}  // namespace gradus::jinja
