// SPDX-License-Identifier: Apache-2.0
// Logs go to stderr, one line each: "[area] text". With LogFormat::kJson each line is one object
// {"time", "level", "area", "message"}. stdout belongs to results.
#pragma once

#include <string>

namespace gradus {

enum class LogLevel { kDebug, kInfo, kWarning, kError };
enum class LogFormat { kText, kJson };

void set_log_level(LogLevel level);
void set_log_format(LogFormat format);
LogFormat log_format();
// Whether information is shown, and as text: a progress bar may be drawn.
bool log_is_for_people();

void log_debug(const char* area, const std::string& message);
void log_info(const char* area, const std::string& message);
void log_warning(const char* area, const std::string& message);
void log_error(const char* area, const std::string& message);

}  // namespace gradus
