// SPDX-License-Identifier: Apache-2.0
#include "base/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/log.h"
#include "base/system.h"

namespace gradus {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kTerminalInterval = std::chrono::milliseconds(100);
constexpr auto kPlainInterval = std::chrono::seconds(10);

std::string duration_text(double seconds) {
  const auto whole = static_cast<int64_t>(seconds + 0.5);
  char text[32];
  if (whole >= 3600) {
    std::snprintf(text, sizeof text, "%lldh%02lldm", static_cast<long long>(whole / 3600),
                  static_cast<long long>(whole / 60 % 60));
  } else {
    std::snprintf(text, sizeof text, "%lld:%02lld", static_cast<long long>(whole / 60),
                  static_cast<long long>(whole % 60));
  }
  return text;
}

std::string rate_text(double rate, const std::string& unit) {
  char text[64];
  if (rate >= 100) {
    return with_commas(static_cast<int64_t>(rate)) + " " + unit + "/s";
  }
  std::snprintf(text, sizeof text, "%.2f %s/s", rate, unit.c_str());
  return text;
}

}  // namespace

Progress::Progress(std::string label, int64_t total, std::string unit, int64_t done)
    : label_(std::move(label)),
      unit_(std::move(unit)),
      total_(total),
      first_(done),
      done_(done),
      terminal_(log_is_for_people() && ::isatty(STDERR_FILENO) != 0),
      start_(Clock::now()),
      drawn_(start_) {}

Progress::~Progress() {
  if (done_ > first_) draw(true);
}

void Progress::advance_to(int64_t done) {
  done_ = done;
  const auto now = Clock::now();
  if (now - drawn_ <
      (terminal_ ? Clock::duration(kTerminalInterval) : Clock::duration(kPlainInterval)))
    return;
  drawn_ = now;
  draw(false);
}

void Progress::draw(bool last) {
  const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  const double rate = seconds > 0 ? static_cast<double>(done_ - first_) / seconds : 0;
  std::string line = label_ + " " + with_commas(done_);
  if (total_ > 0) {
    line += "/" + with_commas(total_) + " (" + std::to_string(100 * done_ / total_) + " %)";
  }
  line += " " + rate_text(rate, unit_);
  if (last) {
    line += " in " + duration_text(seconds);
  } else if (total_ > 0 && rate > 0) {
    line += ", " + duration_text(static_cast<double>(total_ - done_) / rate) + " left";
  }
  if (!note_.empty()) line += ", " + note_;
  if (!terminal_) {
    log_info("progress", line);
    return;
  }
  constexpr int kWidth = 24;
  const int filled =
      total_ > 0 ? static_cast<int>(std::clamp<int64_t>(kWidth * done_ / total_, 0, kWidth)) : 0;
  const std::string bar =
      total_ > 0 ? std::string(filled, '=') + std::string(kWidth - filled, ' ') : std::string();
  std::fprintf(stderr, "\r\033[K[%s] %s%s", bar.c_str(), line.c_str(), last ? "\n" : "");
  std::fflush(stderr);
}

}  // namespace gradus
