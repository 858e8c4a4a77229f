// SPDX-License-Identifier: Apache-2.0
// Any bytes as the body of a chat or completion request, and as the text of an answer with stop
// strings. Refusals are fine; crashes, leaks and undefined behaviour are not, nor is an answer that
// depends on how it was divided.
#include "serve/protocol/api_error.h"
#include "serve/protocol/request.h"
#include "text/stop_matcher.h"

namespace {

constexpr gradus::RequestLimits kLimits{.max_choices = 4, .max_messages = 8};

template <class Parse>
void parse(Parse&& request) {
  try {
    request();
  } catch (const gradus::ApiError& error) {
    if (error.json().dump(-1, ' ', false, gradus::Json::error_handler_t::replace).empty())
      __builtin_trap();
  }
}

std::string matched(const std::vector<std::string>& stops, std::string_view text, size_t step) {
  gradus::StopMatcher matcher(stops);
  std::string out;
  for (size_t at = 0; at < text.size(); at += step) out += matcher.push(text.substr(at, step));
  return out + matcher.finish();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  parse([&] {
    const gradus::Json body = gradus::parse_body(text);
    parse([&] { gradus::parse_chat_request(body, kLimits); });
    parse([&] { gradus::parse_completion_request(body, kLimits); });
  });
  if (size < 4) return 0;
  const std::vector<std::string> stops = {text.substr(0, 1), text.substr(1, 3)};
  const std::string_view rest = std::string_view(text).substr(4);
  if (matched(stops, rest, 1) != matched(stops, rest, 7)) __builtin_trap();
  return 0;
}
