// SPDX-License-Identifier: Apache-2.0
#include "serve/http/message.h"

#include <algorithm>
#include <cstdio>

#include "base/error.h"

namespace gradus {
namespace {

struct StatusName {
  int status;
  const char* text;
};

constexpr StatusName kStatusNames[] = {
    {200, "OK"},
    {204, "No Content"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
};

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

}  // namespace

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view HttpRequest::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (equal_ignoring_case(key, name)) return value;
  }
  return {};
}

const char* status_text(int status) {
  for (const StatusName& entry : kStatusNames) {
    if (entry.status == status) return entry.text;
  }
  return "Unknown";
}

std::string response_head(const HttpResponse& response, const HttpHeaders& framing) {
  std::string head = cat("HTTP/1.1 ", response.status, " ", status_text(response.status), "\r\n");
  const auto add = [&head](const std::string& name, const std::string& value) {
    head += name + ": " + value + "\r\n";
  };
  if (response.status != 204) add("Content-Type", response.content_type);
  for (const auto& [name, value] : response.headers) add(name, value);
  for (const auto& [name, value] : framing) add(name, value);
  return head + "\r\n";
}

std::string http_chunk(std::string_view data) {
  char size[20];
  std::snprintf(size, sizeof size, "%zx\r\n", data.size());
  return cat(size, data, "\r\n");
}

}  // namespace gradus
