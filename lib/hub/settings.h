// SPDX-License-Identifier: Apache-2.0
// Where the hub is, who asks, and where files are kept: the environment variables of Python's
// huggingface_hub, so that one set-up serves both. docs/hub.md lists them.
#pragma once

#include <chrono>
#include <string>

#include "base/files.h"

namespace gradus {

enum class HubAccess { kOnline, kOffline };

struct HubSettings {
  std::string endpoint = "https://huggingface.co";  // no slash at the end
  std::string token;                                // "" for none; never logged
  fs::path cache;                                   // holds models--owner--name/…
  HubAccess access = HubAccess::kOnline;
  int stall_seconds = 10;               // without a byte, a connection counts as broken
  int attempts = 6;                     // in a row without any progress
  std::chrono::milliseconds wait{500};  // before the second attempt; doubles
  int parallel_files = 4;
  int connections = 8;                     // in all, where a large file takes several
  int64_t large_file = int64_t{12} << 20;  // bytes
};

// Throws gradus::Error for values that cannot be used, naming the variable (never a token's value).
HubSettings hub_settings_from_environment();

}  // namespace gradus
