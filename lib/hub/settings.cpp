// SPDX-License-Identifier: Apache-2.0
#include "hub/settings.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "base/error.h"

namespace gradus {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

std::string first_of(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (std::string value = variable(name); !value.empty()) return value;
  }
  return "";
}

bool is_true(std::string value) {
  std::transform(value.begin(), value.end(), value.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return value == "1" || value == "ON" || value == "YES" || value == "TRUE";
}

fs::path expanded(const std::string& path) {
  if (path == "~") return variable("HOME");
  if (path.starts_with("~/")) return fs::path(variable("HOME")) / path.substr(2);
  return path;
}

fs::path hub_home() {
  if (const std::string home = variable("HF_HOME"); !home.empty()) return expanded(home);
  if (const std::string cache = variable("XDG_CACHE_HOME"); !cache.empty())
    return expanded(cache) / "huggingface";
  return expanded("~/.cache/huggingface");
}

std::string trimmed(std::string text) {
  const char* spaces = " \t\r\n";
  text.erase(0, std::min(text.find_first_not_of(spaces), text.size()));
  text.erase(text.find_last_not_of(spaces) + 1);
  return text;
}

// A line break in a token would add headers of its own.
std::string checked_token(const std::string& token, const std::string& where) {
  const bool plain = token.size() <= 1000 && std::all_of(token.begin(), token.end(),
                                                         [](char c) { return c > 32 && c < 127; });
  if (plain) return token;
  throw Error({.what = "is no access token",
               .where = where,
               .expected = "printable characters without spaces",
               .hint = "a token looks like hf_…; its value is not shown here"});
}

std::string find_token(const fs::path& home) {
  for (const char* name : {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}) {
    if (const std::string token = trimmed(variable(name)); !token.empty())
      return checked_token(token, name);
  }
  if (is_true(variable("HF_HUB_DISABLE_IMPLICIT_TOKEN"))) return "";
  const std::string named = variable("HF_TOKEN_PATH");
  const fs::path file = named.empty() ? home / "token" : expanded(named);
  std::error_code ignored;
  if (!fs::is_regular_file(file, ignored) || fs::file_size(file, ignored) > 10'000) return "";
  return checked_token(trimmed(read_file(file)), file.string());
}

std::string find_endpoint(const std::string& fallback) {
  std::string endpoint = variable("HF_ENDPOINT");
  if (endpoint.empty()) return fallback;
  while (endpoint.ends_with('/')) endpoint.pop_back();
  const bool http = endpoint.starts_with("http://") || endpoint.starts_with("https://");
  if (http && endpoint.find('@') == std::string::npos) return endpoint;
  throw Error({.what = "is no address of a hub",
               .where = std::string("HF_ENDPOINT"),
               .expected = "https://host, without a user's name"});
}

int seconds(const char* name, int fallback) {
  const std::string text = variable(name);
  if (text.empty()) return fallback;
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size() && value >= 1 && value <= 3600)
    return value;
  throw Error({.what = "is no number of seconds",
               .where = name,
               .expected = "1 to 3600",
               .found = "'" + printable(text) + "'"});
}

}  // namespace

HubSettings hub_settings_from_environment() {
  HubSettings settings;
  const fs::path home = hub_home();
  const std::string cache = first_of({"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"});
  settings.cache = fs::absolute(cache.empty() ? home / "hub" : expanded(cache)).lexically_normal();
  settings.endpoint = find_endpoint(settings.endpoint);
  settings.token = find_token(home);
  if (is_true(first_of({"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"})))
    settings.access = HubAccess::kOffline;
  settings.stall_seconds = seconds("HF_HUB_DOWNLOAD_TIMEOUT", settings.stall_seconds);
  return settings;
}

}  // namespace gradus
