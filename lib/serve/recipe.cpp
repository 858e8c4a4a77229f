// SPDX-License-Identifier: Apache-2.0
#include "serve/recipe.h"

#include "serve/http/asio.h"
#include "serve/http/message.h"

namespace gradus {

// Any other name is whatever its owner's name server says, 127.example.org too.
bool is_loopback(const std::string& host) {
  if (equal_ignoring_case(host, "localhost")) return true;
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  error_code error;
  const auto address =
      asio::ip::make_address(bracketed ? host.substr(1, host.size() - 2) : host, error);
  return !error && address.is_loopback();
}

void ServeRecipe::check(Problems& problems) const {
  if (host.empty()) problems.add("host", "may not be empty");
  const bool keys = !api_keys.empty() || !api_keys_file.empty();
  if (!keys && !allow_anonymous && !is_loopback(host))
    problems.add("host",
                 "other machines can reach this address: give api_keys_file, or allow_anonymous: "
                 "true");
  for (const std::string& key : api_keys) {
    if (key.size() < 8) problems.add("api_keys", "a key needs at least 8 characters");
  }
  if (engine.prefill_tokens < engine.max_sequences)
    problems.add("engine.prefill_tokens", "may not be below engine.max_sequences");
}

}  // namespace gradus
