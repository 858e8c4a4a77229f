// SPDX-License-Identifier: Apache-2.0
#include "base/files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <utility>
#include <vector>

#include "base/error.h"

namespace gradus {
namespace {

[[noreturn]] void refuse_overwriting(const fs::path& path) {
  throw Error({.what = "already exists and is not overwritten",
               .where = path.string(),
               .hint = "choose another name or remove it first"});
}

[[noreturn]] void fail(const fs::path& path, const std::string& action) {
  const int code = errno;
  ErrorParts parts{.what = action + ": " + std::strerror(code), .where = path.string()};
  if (code == ENOSPC) parts.hint = "free some space and run again: nothing was lost";
  throw Error(std::move(parts));
}

void write_all(int descriptor, const fs::path& path, const char* data, size_t bytes) {
  while (bytes > 0) {
    const ssize_t written = ::write(descriptor, data, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail(path, "cannot write");
    data += written;
    bytes -= static_cast<size_t>(written);
  }
}

fs::path temporary_name(const fs::path& path) {
  fs::path name = path;
  name += ".tmp-" + std::to_string(::getpid());
  return name;
}

fs::path parent_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

void make_parent(const fs::path& path) {
  std::error_code code;
  fs::create_directories(parent_of(path), code);
  if (code)
    throw Error(
        {.what = "cannot create folder: " + code.message(), .where = parent_of(path).string()});
}

void sync_path(const fs::path& path, int flags) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | flags);
  if (descriptor < 0) fail(path, "cannot open");
  // EINVAL: a file system that has nothing to flush for folders.
  const int code = ::fsync(descriptor) == 0 || errno == EINVAL ? 0 : errno;
  ::close(descriptor);
  errno = code;
  if (code != 0) fail(path, "cannot sync");
}

void sync_tree(const fs::path& folder) {
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_directory()) sync_folder(entry.path());
    if (entry.is_regular_file()) sync_path(entry.path(), 0);
  }
  sync_folder(folder);
}

bool is_process(int pid) { return ::kill(pid, 0) == 0 || errno == EPERM; }

// A process in another container has a number that means nothing here, but its lock shows.
bool is_locked(const fs::path& file) {
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return false;
  const bool locked = ::flock(descriptor, LOCK_EX | LOCK_NB) != 0;
  ::close(descriptor);
  return locked;
}

// Removes what killed processes left of `path`. One killed in the middle of replace_in_steps left
// the only copy aside: that one is put back.
void remove_stale(const fs::path& path) {
  std::vector<fs::path> stale;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(parent_of(path), ignored)) {
    const std::string name = entry.path().filename().string();
    if (!is_temporary_name(name, path.filename().string())) continue;
    int pid = 0;
    std::from_chars(name.data() + name.rfind('-') + 1, name.data() + name.size(), pid);
    if (pid > 0 && !is_process(pid) && !is_locked(entry.path())) stale.push_back(entry.path());
  }
  for (const fs::path& old : stale) {
    if (old.extension().string().starts_with(".old-") && !fs::exists(path, ignored))
      fs::rename(old, path, ignored);
    fs::remove_all(old, ignored);
  }
}

bool exchange(const fs::path& a, const fs::path& b) {
  return ::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) == 0;
}

// Where folders cannot be exchanged: aside, into place, and back if that fails.
void replace_in_steps(const fs::path& made, const fs::path& destination) {
  fs::path old = destination;
  old += ".old-" + std::to_string(::getpid());
  if (::rename(destination.c_str(), old.c_str()) != 0) fail(destination, "cannot be replaced");
  if (::rename(made.c_str(), destination.c_str()) != 0) {
    const int code = errno;
    ::rename(old.c_str(), destination.c_str());
    errno = code;
    fail(destination, "cannot rename into place");
  }
  std::error_code ignored;
  fs::remove_all(old, ignored);
}

}  // namespace

bool is_temporary_name(std::string_view name, std::string_view of) {
  const size_t dash = name.rfind('-');
  if (dash == std::string_view::npos || dash < 4 || dash + 1 == name.size()) return false;
  const std::string_view mark = name.substr(dash - 4, 4), whole = name.substr(0, dash - 4);
  return (mark == ".tmp" || mark == ".old") && (of.empty() || whole == of) &&
         name.find_first_not_of("0123456789", dash + 1) == std::string_view::npos;
}

std::string read_file(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail(path, "cannot open");
  struct Closer {
    int descriptor;
    ~Closer() { ::close(descriptor); }
  } closer{descriptor};
  struct stat info {};
  if (::fstat(descriptor, &info) != 0) fail(path, "cannot stat");
  if (S_ISDIR(info.st_mode))
    throw Error({.what = "is a folder, not a file", .where = path.string()});
  std::string content;
  content.reserve(static_cast<size_t>(info.st_size));
  char buffer[1 << 16];
  for (;;) {
    const ssize_t got = ::read(descriptor, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(path, "cannot read");
    if (got == 0) return content;
    content.append(buffer, static_cast<size_t>(got));
  }
}

void write_file_atomic(const fs::path& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

AtomicFile::AtomicFile(fs::path path) : path_(std::move(path)), temporary_(temporary_name(path_)) {
  make_parent(path_);
  remove_stale(path_);
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail(temporary_, "cannot create");
  ::flock(descriptor_, LOCK_SH | LOCK_NB);  // says that it is not stale; no lock does no harm
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
}

void AtomicFile::write(const void* data, size_t bytes) {
  write_all(descriptor_, path_, static_cast<const char*>(data), bytes);
}

void AtomicFile::commit() {
  if (::fsync(descriptor_) != 0) fail(path_, "cannot sync");
  if (::close(std::exchange(descriptor_, -1)) != 0) fail(path_, "cannot close");
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    const int code = errno;
    ::unlink(temporary_.c_str());
    errno = code;
    fail(path_, "cannot rename into place");
  }
  sync_folder(parent_of(path_));
}

AtomicFolder::AtomicFolder(fs::path destination, Existing existing)
    : destination_(std::move(destination)), existing_(existing) {
  while (destination_.filename().empty() && destination_.has_parent_path()) {
    destination_ = destination_.parent_path();  // "out/" names the same folder as "out"
  }
  remove_stale(destination_);
  if (existing_ == Existing::kRefuse && fs::exists(destination_)) refuse_overwriting(destination_);
  temporary_ = temporary_name(destination_);
  make_parent(destination_);
  std::error_code code;
  fs::remove_all(temporary_, code);
  fs::create_directory(temporary_, code);
  if (code)
    throw Error({.what = "cannot create folder: " + code.message(), .where = temporary_.string()});
}

AtomicFolder::~AtomicFolder() {
  std::error_code ignored;
  if (!committed_) fs::remove_all(temporary_, ignored);
}

void AtomicFolder::commit() {
  sync_tree(temporary_);
  const bool replacing = existing_ == Existing::kReplace && fs::exists(destination_);
  if (!replacing) {
    if (::rename(temporary_.c_str(), destination_.c_str()) != 0) {
      // Another process made it meanwhile.
      if (errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR)
        refuse_overwriting(destination_);
      fail(destination_, "cannot rename into place");
    }
  } else if (!exchange(temporary_, destination_)) {
    replace_in_steps(temporary_, destination_);
  }
  committed_ = true;
  sync_folder(parent_of(destination_));
  std::error_code ignored;
  fs::remove_all(temporary_, ignored);  // after an exchange, the old folder
}

MappedFile::MappedFile(const fs::path& path) : path_(path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail(path, "cannot open");
  struct stat info {};
  const bool usable = ::fstat(descriptor, &info) == 0 && S_ISREG(info.st_mode);
  void* mapped = nullptr;
  if (usable && info.st_size > 0) {
    mapped =
        ::mmap(nullptr, static_cast<size_t>(info.st_size), PROT_READ, MAP_SHARED, descriptor, 0);
  }
  ::close(descriptor);
  if (!usable) throw Error({.what = "is not a regular file", .where = path.string()});
  if (mapped == MAP_FAILED) fail(path, "cannot map");
  data_ = static_cast<const std::byte*>(mapped);
  size_ = static_cast<size_t>(info.st_size);
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

FolderLock::FolderLock(const fs::path& folder) {
  const fs::path path = folder / ".lock";
  make_parent(path);
  descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail(path, "cannot open");
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    ::close(descriptor_);
    throw Error({.what = "is in use by another gradus process (pid " + read_file(path) + ")",
                 .where = folder.string(),
                 .hint = "wait for it, stop it, or choose another run folder"});
  }
  const std::string pid = std::to_string(::getpid());
  if (::ftruncate(descriptor_, 0) != 0) fail(path, "cannot write");
  write_all(descriptor_, path, pid.data(), pid.size());
}

FolderLock::~FolderLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void sync_folder(const fs::path& folder) { sync_path(folder, O_DIRECTORY); }

}  // namespace gradus
