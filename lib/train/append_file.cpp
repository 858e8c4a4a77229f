// SPDX-License-Identifier: Apache-2.0
#include "train/append_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace gradus {
namespace {

[[noreturn]] void fail(const fs::path& path, const std::string& what) {
  throw Error({.what = what + ": " + std::strerror(errno), .where = path.string()});
}

}  // namespace

AppendFile::AppendFile(const fs::path& path, int64_t keep_bytes) : path_(path), bytes_(keep_bytes) {
  descriptor_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail(path, "cannot open");
  if (::lseek(descriptor_, 0, SEEK_END) < keep_bytes) {
    ::close(descriptor_);
    throw Error({.what = "is shorter than the checkpoint says",
                 .where = path.string(),
                 .hint = "was it edited? remove the run folder to start over"});
  }
  if (::ftruncate(descriptor_, keep_bytes) != 0) fail(path, "cannot shorten");
}

AppendFile::~AppendFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void AppendFile::append(std::string_view bytes) {
  bytes_ += static_cast<int64_t>(bytes.size());
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail(path_, "cannot write");
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

void AppendFile::sync() {
  if (::fdatasync(descriptor_) != 0) fail(path_, "cannot write to disk");
}

}  // namespace gradus
