// SPDX-License-Identifier: Apache-2.0
// Files and folders that are never half written: every output X goes to a temporary name beside it,
// X.tmp-<pid>, is synced, and is renamed. What a killed process left there goes when X is written
// again. All failures are gradus::Error naming the path.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace gradus {

namespace fs = std::filesystem;

std::string read_file(const fs::path& path);
// Replaces `path` in one step: temporary name, fsync, rename, fsync of the folder.
void write_file_atomic(const fs::path& path, std::string_view content);

// Whether `name` is "X.tmp-123" (or, for a folder on its way out, "X.old-123") for X = `of`; for
// any X without `of`.
bool is_temporary_name(std::string_view name, std::string_view of = {});

// A file under construction; commit() makes it appear under its name, destruction drops it.
class AtomicFile {
 public:
  explicit AtomicFile(fs::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  void commit();

 private:
  fs::path path_;
  fs::path temporary_;
  int descriptor_ = -1;
};

// A folder under construction: write into path(), then commit() renames it to its destination.
// An existing destination is replaced only by commit(), and only when kReplace was chosen: in one
// step where the file system can exchange two folders; elsewhere it is missing for a moment, and
// put back when the new one cannot take its place.
class AtomicFolder {
 public:
  enum class Existing { kRefuse, kReplace };
  explicit AtomicFolder(fs::path destination, Existing existing = Existing::kRefuse);
  ~AtomicFolder();
  AtomicFolder(const AtomicFolder&) = delete;
  AtomicFolder& operator=(const AtomicFolder&) = delete;

  const fs::path& path() const { return temporary_; }
  void commit();

 private:
  fs::path destination_;
  fs::path temporary_;
  Existing existing_;
  bool committed_ = false;
};

// A whole file mapped read-only. Pages are shared and only read when touched.
class MappedFile {
 public:
  explicit MappedFile(const fs::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// Holds `folder`/.lock for this process; throws when another process holds it (its pid is named).
class FolderLock {
 public:
  explicit FolderLock(const fs::path& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int descriptor_ = -1;
};

// Flushes a folder's entries to disk, after a rename inside it.
void sync_folder(const fs::path& folder);

}  // namespace gradus
