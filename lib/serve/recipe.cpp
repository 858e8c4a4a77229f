// SPDX-License-Identifier: Apache-2.0
#include "serve/recipe.h"

namespace gradus {

bool is_loopback(const std::string& host) {
  return host == "localhost" || host == "::1" || host.rfind("127.", 0) == 0;
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
