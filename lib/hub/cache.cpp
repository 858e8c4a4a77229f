// SPDX-License-Identifier: Apache-2.0
#include "hub/cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "hub/http.h"

namespace gradus {
namespace {

constexpr uintmax_t kMaxListingBytes = 256 << 20;

std::string folder_name(const HubReference& reference) {
  std::string name = reference.kind == HubKind::kDataset ? "datasets--" : "models--";
  for (const char c : reference.repository) name += c == '/' ? "--" : std::string(1, c);
  return name;
}

}  // namespace

HubCache::HubCache(const fs::path& root, const HubReference& reference)
    : root_(root), repository_(root / folder_name(reference)), name_(folder_name(reference)) {}

fs::path HubCache::snapshot(const std::string& commit) const {
  return repository_ / "snapshots" / commit;
}

fs::path HubCache::file(const std::string& commit, const std::string& path) const {
  return path.empty() ? snapshot(commit) : snapshot(commit) / path;
}

fs::path HubCache::lock_file(const std::string& etag) const {
  return root_ / ".locks" / name_ / (etag + ".lock");
}

std::string HubCache::known_commit(const std::string& revision) const {
  if (is_commit(revision)) return revision;
  const fs::path path = repository_ / "refs" / revision;
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored) || fs::file_size(path, ignored) > 1000) return "";
  std::string commit = read_file(path);
  while (!commit.empty() && commit.back() <= ' ') commit.pop_back();
  return is_commit(commit) ? commit : "";
}

void HubCache::remember_commit(const std::string& revision, const std::string& commit) const {
  if (is_commit(revision) || known_commit(revision) == commit) return;
  const fs::path path = repository_ / "refs" / revision;
  fs::create_directories(path.parent_path());
  write_file_atomic(path, commit);
}

std::optional<HubListing> HubCache::known_listing(const std::string& commit) const {
  for (const char* place : {"trees", ".gradus/trees"}) {
    const fs::path path = repository_ / place / (commit + ".json");
    std::error_code ignored;
    if (!fs::is_regular_file(path, ignored) || fs::file_size(path, ignored) > kMaxListingBytes)
      continue;
    try {
      return listing_from_json(read_json(path), path.string());
    } catch (const Error& error) {
      log_debug("hub", cat(error.what(), "; asked for again"));
    }
  }
  return std::nullopt;
}

void HubCache::remember_listing(const std::string& commit, const HubListing& listing) const {
  const fs::path folder = repository_ / ".gradus" / "trees";
  fs::create_directories(folder);
  write_json(folder / (commit + ".json"), listing_json(listing));
}

bool HubCache::has(const std::string& commit, const std::string& path, const HubFile& file) const {
  std::error_code failed;
  const uintmax_t bytes = fs::file_size(this->file(commit, path), failed);
  return !failed && bytes == static_cast<uintmax_t>(file.bytes);
}

std::vector<std::string> HubCache::files(const std::string& commit) const {
  std::vector<std::string> files;
  std::error_code ignored;
  for (const auto& entry : fs::recursive_directory_iterator(snapshot(commit), ignored)) {
    if (!entry.is_regular_file(ignored)) continue;  // a link to a blob that is gone is no file
    files.push_back(entry.path().lexically_relative(snapshot(commit)).generic_string());
    if (files.size() > kMaxHubFiles) break;
  }
  std::sort(files.begin(), files.end());
  return files;
}

void HubCache::link(const std::string& commit, const std::string& path,
                    const std::string& etag) const {
  const fs::path place = file(commit, path);
  fs::create_directories(place.parent_path());
  const fs::path target = blob(etag).lexically_relative(place.parent_path());
  std::error_code ignored;
  if (fs::is_symlink(place, ignored) && fs::read_symlink(place, ignored) == target) return;
  const fs::path temporary = place.string() + cat(".tmp-", ::getpid());
  fs::remove(temporary, ignored);
  fs::create_symlink(target, temporary);
  fs::rename(temporary, place);
}

HubLock::HubLock(const fs::path& file) {
  fs::create_directories(file.parent_path());
  descriptor_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor_ < 0)
    throw Error({.what = cat("cannot be locked: ", std::strerror(errno)), .where = file.string()});
  bool told = false;
  while (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    try {
      if (errno != EWOULDBLOCK && errno != EINTR)
        throw Error(
            {.what = cat("cannot be locked: ", std::strerror(errno)), .where = file.string()});
      throw_if_transfer_stopped();
    } catch (...) {
      ::close(descriptor_);
      throw;
    }
    if (!told) log_info("hub", "waiting for another process that fetches the same file");
    told = true;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

HubLock::~HubLock() { ::close(descriptor_); }

}  // namespace gradus
