// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <atomic>
#include <chrono>
#include <cstdio>

#include "base/json.h"

namespace gradus {
namespace {

std::atomic<LogLevel> g_level{LogLevel::kInfo};
std::atomic<LogFormat> g_format{LogFormat::kText};

const char* level_name(LogLevel level) {
  static constexpr const char* kNames[] = {"debug", "info", "warning", "error"};
  return kNames[static_cast<int>(level)];
}

void emit(LogLevel level, const char* area, const std::string& message) {
  if (level < g_level) return;
  std::string line;
  if (g_format == LogFormat::kJson) {
    const double now =
        std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
    line = Json{{"time", now}, {"level", level_name(level)}, {"area", area}, {"message", message}}
               .dump(-1, ' ', false, Json::error_handler_t::replace);
  } else {
    line = std::string("[") + area + "] ";
    if (level >= LogLevel::kWarning) line += std::string(level_name(level)) + ": ";
    line += message;
  }
  line += '\n';
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace

void set_log_level(LogLevel level) { g_level = level; }
void set_log_format(LogFormat format) { g_format = format; }
LogFormat log_format() { return g_format; }
bool log_is_for_people() { return g_level <= LogLevel::kInfo && g_format == LogFormat::kText; }
void log_debug(const char* area, const std::string& message) {
  emit(LogLevel::kDebug, area, message);
}
void log_info(const char* area, const std::string& message) {
  emit(LogLevel::kInfo, area, message);
}
void log_warning(const char* area, const std::string& message) {
  emit(LogLevel::kWarning, area, message);
}
void log_error(const char* area, const std::string& message) {
  emit(LogLevel::kError, area, message);
}

}  // namespace gradus
