// SPDX-License-Identifier: Apache-2.0
#include "hub/transfer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"

namespace gradus {
namespace {

constexpr int kContentAttempts = 2;

// The file under construction and the digest of what is in it.
class Incomplete {
 public:
  Incomplete(const fs::path& path, const HubFile& file) : path_(path), file_(file) {
    fs::create_directories(path.parent_path());
    descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (descriptor_ < 0) fail("cannot be opened");
    try {
      resume();
    } catch (...) {
      ::close(descriptor_);
      throw;
    }
  }
  ~Incomplete() { ::close(descriptor_); }
  Incomplete(const Incomplete&) = delete;
  Incomplete& operator=(const Incomplete&) = delete;

  int64_t bytes() const { return bytes_; }
  bool full() const { return bytes_ == file_.bytes; }

  void clear() {
    if (::ftruncate(descriptor_, 0) != 0 || ::lseek(descriptor_, 0, SEEK_SET) < 0)
      fail("cannot be emptied");
    bytes_ = 0;
    start_blob_digest(hasher_, file_);
  }

  void append(std::string_view part) {
    if (bytes_ + static_cast<int64_t>(part.size()) > file_.bytes)
      throw Error({.what = "the hub sends more bytes than it lists",
                   .where = path_.string(),
                   .expected = cat(file_.bytes)});
    hasher_->update(part);
    bytes_ += static_cast<int64_t>(part.size());
    while (!part.empty()) {
      const ssize_t written = ::write(descriptor_, part.data(), part.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail("cannot be written");
      part.remove_prefix(static_cast<size_t>(written));
    }
  }

  // The digest of a full file is the listed one; call once.
  bool verified() { return hasher_->hex() == file_.etag(); }

  void become(const fs::path& destination) {
    if (::fsync(descriptor_) != 0) fail("cannot be synced");
    fs::rename(path_, destination);
    sync_folder(destination.parent_path());
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw_file_error(path_, what); }

  // What an earlier run left counts, and is digested again.
  void resume() {
    start_blob_digest(hasher_, file_);
    const off_t size = ::lseek(descriptor_, 0, SEEK_END);
    if (size < 0) fail("cannot be read");
    if (size > file_.bytes) return clear();
    ::lseek(descriptor_, 0, SEEK_SET);
    std::string buffer(1 << 20, '\0');
    while (bytes_ < size) {
      const ssize_t got = ::read(descriptor_, buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) fail("cannot be read");
      hasher_->update({buffer.data(), static_cast<size_t>(got)});
      bytes_ += got;
    }
  }

  fs::path path_;
  const HubFile& file_;
  int descriptor_ = -1;
  int64_t bytes_ = 0;
  std::optional<Hasher> hasher_;
};

// One request for what is still missing.
HttpReply request_rest(HttpClient& client, const std::string& url, Incomplete& target,
                       TransferState& state) {
  const int64_t start = target.bytes();
  bool first = true;
  HttpGet request{.first_byte = start};
  request.cancelled = [&] { return state.cancelled.load(); };
  request.sink = [&](const HttpReply& head, std::string_view part) {
    // A server may answer with the whole file, whatever range was asked for.
    if (first && start > 0 && first_byte_of(head.header("content-range")) != start) {
      state.bytes -= start;
      target.clear();
      if (head.status == 206)
        throw Error({.what = "the hub answers with another range than was asked for",
                     .where = url,
                     .expected = cat("bytes ", start, "-"),
                     .found = printable(head.header("content-range"))});
    }
    first = false;
    target.append(part);
    state.bytes += static_cast<int64_t>(part.size());
  };
  HttpReply reply = client.get(url, request);
  if (state.cancelled) throw TransferCancelled();
  if (target.full() && (reply.status == 200 || reply.status == 206)) reply.failure.clear();
  if (reply.ok() && !target.full())
    reply.failure = cat("the connection ended after ", target.bytes(), " bytes");
  return reply;
}

// Requests until the file is full or nothing helps.
HttpReply fill(HttpClient& client, const std::string& url, Incomplete& target,
               const HubSettings& settings, TransferState& state) {
  for (int attempt = 1;; ++attempt) {
    const int64_t before = target.bytes();
    HttpReply reply = request_rest(client, url, target, state);
    if (target.full() || !may_be_tried_again(reply)) return reply;
    if (target.bytes() > before) attempt = 1;
    if (attempt >= settings.attempts) return reply;
    wait_to_retry(url, attempt, reply, settings, &state.cancelled);
  }
}

}  // namespace

HttpReply get_with_retries(HttpClient& client, const std::string& url,
                           const HubSettings& settings) {
  for (int attempt = 1;; ++attempt) {
    HttpReply reply = client.get(url, {});
    if (!may_be_tried_again(reply) || attempt >= settings.attempts) return reply;
    wait_to_retry(url, attempt, reply, settings, nullptr);
  }
}

HttpReply fetch_file(HttpClient& client, const std::string& url, const HubFile& file,
                     const fs::path& destination, const HubSettings& settings,
                     TransferState& state) {
  Incomplete target(destination.string() + ".incomplete", file);
  state.bytes += target.bytes();
  check_space(destination.parent_path(), file.bytes - target.bytes());
  HttpReply done;
  done.status = 200;  // a file that is full already needs no request
  for (int attempt = 1; attempt <= kContentAttempts; ++attempt) {
    // Also for an empty file: the hub must know it.
    if (!target.full() || file.bytes == 0) done = fill(client, url, target, settings, state);
    if (!target.full() || !done.ok()) return done;
    if (target.verified()) {
      target.become(destination);
      return done;
    }
    log_warning("hub", url + ": what arrived has another digest than listed; fetching it again");
    state.bytes -= target.bytes();
    target.clear();
  }
  throw Error({.what = "arrives with another digest than the hub lists",
               .where = url,
               .expected = file.etag(),
               .hint = "is a proxy changing it, or the hub's copy damaged?"});
}

}  // namespace gradus
