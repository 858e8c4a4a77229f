// SPDX-License-Identifier: Apache-2.0
#include "base/files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace gradus {
namespace {

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

void sync_tree(const fs::path& folder) {
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    const int descriptor = ::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) fail(entry.path(), "cannot open");
    ::fsync(descriptor);
    ::close(descriptor);
  }
}

}  // namespace

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

void append_line(const fs::path& path, std::string_view line) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor < 0) fail(path, "cannot open");
  std::string text(line);
  text += '\n';
  try {
    write_all(descriptor, path, text.data(), text.size());
  } catch (...) {
    ::close(descriptor);
    throw;
  }
  ::close(descriptor);
}

AtomicFile::AtomicFile(fs::path path) : path_(std::move(path)), temporary_(temporary_name(path_)) {
  make_parent(path_);
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail(temporary_, "cannot create");
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
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail(path_, "cannot rename into place");
  sync_folder(parent_of(path_));
}

AtomicFolder::AtomicFolder(fs::path destination, Existing existing)
    : destination_(std::move(destination)), existing_(existing) {
  while (destination_.filename().empty() && destination_.has_parent_path()) {
    destination_ = destination_.parent_path();  // "out/" names the same folder as "out"
  }
  if (existing_ == Existing::kRefuse && fs::exists(destination_)) {
    throw Error({.what = "already exists and is not overwritten",
                 .where = destination_.string(),
                 .hint = "choose another name or remove it first"});
  }
  temporary_ = temporary_name(destination_);
  fs::remove_all(temporary_);
  make_parent(destination_);
  std::error_code code;
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
  sync_folder(temporary_);
  fs::path old = destination_;
  old += ".old-" + std::to_string(::getpid());
  const bool replacing = existing_ == Existing::kReplace && fs::exists(destination_);
  if (replacing) fs::rename(destination_, old);
  if (::rename(temporary_.c_str(), destination_.c_str()) != 0)
    fail(destination_, "cannot rename into place");
  committed_ = true;
  sync_folder(parent_of(destination_));
  if (replacing) fs::remove_all(old);
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

void sync_folder(const fs::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) fail(folder, "cannot open");
  ::fsync(descriptor);
  ::close(descriptor);
}

}  // namespace gradus
