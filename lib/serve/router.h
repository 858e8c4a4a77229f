// SPDX-License-Identifier: Apache-2.0
// Every route of the server, in one table. Whatever is not in it does not exist, and every route
// needs an API key unless the table says otherwise.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace gradus {

enum class Access { kKey, kOpen, kMetrics };
enum class Handler {
  kLive,
  kReady,
  kHealth,
  kMetrics,
  kListModels,
  kOneModel,
  kCompletions,
  kChatCompletions,
};

struct Route {
  const char* method;
  const char* path;  // a last part of "*" stands for any text
  Access access;
  Handler handler;
};

std::span<const Route> routes();

struct Match {
  const Route* route = nullptr;  // null: no such path, or not with this method
  std::string allowed_methods;   // of the path, when only the method is wrong
  std::string rest;              // what "*" stood for
};
Match find_route(std::string_view method, std::string_view path);

}  // namespace gradus
