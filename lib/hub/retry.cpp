// SPDX-License-Identifier: Apache-2.0
#include "hub/retry.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "base/system.h"

namespace gradus {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds kLongestWait = std::chrono::minutes(5);

std::optional<int64_t> number(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || value < 0) return std::nullopt;
  return value;
}

void wait(milliseconds time, const std::atomic<bool>* cancelled) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) {
    throw_if_transfer_stopped();
    if (cancelled && *cancelled) throw TransferCancelled();
    const auto left =
        std::chrono::duration_cast<milliseconds>(end - std::chrono::steady_clock::now());
    std::this_thread::sleep_for(std::clamp(left, milliseconds(0), milliseconds(100)));
  }
}

}  // namespace

bool may_be_tried_again(const HttpReply& reply) {
  if (!reply.failure.empty()) return true;
  return reply.status == 408 || reply.status == 429 || reply.status == 500 || reply.status == 502 ||
         reply.status == 503 || reply.status == 504;
}

milliseconds wait_before(int attempt, const HttpReply& reply, const HubSettings& settings) {
  const std::string asked = reply.header("retry-after");
  if (const auto seconds = number(asked))
    return std::min<milliseconds>(std::chrono::seconds(std::min<int64_t>(*seconds, 3600)),
                                  kLongestWait);
  return std::min(settings.wait * (int64_t{1} << std::min(attempt - 1, 10)), kLongestWait);
}

void wait_to_retry(const std::string& url, int attempt, const HttpReply& reply,
                   const HubSettings& settings, const std::atomic<bool>* cancelled) {
  const milliseconds time = wait_before(attempt, reply, settings);
  const std::string why =
      reply.failure.empty() ? cat("the hub answered ", reply.status) : reply.failure;
  log_info("hub", cat(url, ": ", why, "; trying again in ",
                      static_cast<double>(time.count()) / 1000, " s"));
  wait(time, cancelled);
}

std::optional<int64_t> first_byte_of(const std::string& content_range) {
  constexpr std::string_view kUnit = "bytes ";
  if (!content_range.starts_with(kUnit)) return std::nullopt;
  return number(std::string_view(content_range).substr(kUnit.size()));
}

void check_space(const fs::path& folder, int64_t bytes) {
  std::error_code failed;
  const fs::space_info space = fs::space(folder, failed);
  if (failed || space.available >= static_cast<uintmax_t>(bytes)) return;
  throw Error({.what = "the disk has no room for the file",
               .where = folder.string(),
               .expected = human_bytes(bytes),
               .found = human_bytes(static_cast<int64_t>(space.available)) + " free",
               .hint = "free some space or set HF_HUB_CACHE to a larger disk"});
}

void throw_file_error(const fs::path& path, const std::string& what) {
  const int code = errno;
  throw Error({.what = cat(what, ": ", std::strerror(code)),
               .where = path.string(),
               .hint = code == ENOSPC || code == EDQUOT
                           ? "free some space or set HF_HUB_CACHE to a larger disk; the next run "
                             "continues"
                           : ""});
}

void start_blob_digest(std::optional<Hasher>& hasher, const HubFile& file) {
  hasher.emplace(file.sha256.empty() ? HashKind::kSha1 : HashKind::kSha256);
  if (file.sha256.empty()) hasher->update(cat("blob ", file.bytes, '\0'));
}

}  // namespace gradus
