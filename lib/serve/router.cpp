// SPDX-License-Identifier: Apache-2.0
#include "serve/router.h"

namespace gradus {
namespace {

constexpr Route kRoutes[] = {
    {"GET", "/livez", Access::kOpen, Handler::kLive},
    {"GET", "/readyz", Access::kOpen, Handler::kReady},
    {"GET", "/health", Access::kOpen, Handler::kHealth},
    {"GET", "/metrics", Access::kMetrics, Handler::kMetrics},
    {"GET", "/v1/models", Access::kKey, Handler::kListModels},
    {"GET", "/v1/models/*", Access::kKey, Handler::kOneModel},
    {"POST", "/v1/completions", Access::kKey, Handler::kCompletions},
    {"POST", "/v1/chat/completions", Access::kKey, Handler::kChatCompletions},
};

bool path_fits(std::string_view pattern, std::string_view path) {
  if (pattern.back() != '*') return pattern == path;
  pattern.remove_suffix(1);
  return path.size() > pattern.size() && path.substr(0, pattern.size()) == pattern;
}

}  // namespace

std::span<const Route> routes() { return kRoutes; }

Match find_route(std::string_view method, std::string_view path) {
  Match match;
  for (const Route& route : kRoutes) {
    const std::string_view pattern = route.path;
    if (!path_fits(pattern, path)) continue;
    if (method == route.method) {
      match.route = &route;
      if (pattern.back() == '*') match.rest = path.substr(pattern.size() - 1);
      return match;
    }
    match.allowed_methods +=
        (match.allowed_methods.empty() ? "" : ", ") + std::string(route.method);
  }
  return match;
}

}  // namespace gradus
