// SPDX-License-Identifier: Apache-2.0
// The functions that templates find without being given them: Jinja's range, dict, namespace,
// cycler, joiner, and transformers' raise_exception and strftime_now. lipsum, which is random, is
// left out.
#pragma once

#include <ctime>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/value.h"

namespace gradus::jinja {

// `now` is what strftime_now formats, in local time; the clock when absent.
std::vector<std::pair<std::string, Value>> global_functions(std::optional<std::time_t> now);

}  // namespace gradus::jinja
