// SPDX-License-Identifier: Apache-2.0
#include "hub/parts.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "hub/byte_ranges.h"

namespace gradus {
namespace {

constexpr int kContentAttempts = 2;

// Thrown when an answer is not the part that was asked for.
struct NoRanges {};

// The file under construction and its note of what is there. Safe from several threads.
class PartFile {
 public:
  PartFile(const fs::path& destination, const HubFile& file)
      : path_(destination.string() + ".parts"), note_(path_.string() + ".json"), file_(file) {
    fs::create_directories(path_.parent_path());
    take_over(destination.string() + ".incomplete");
    descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (descriptor_ < 0) fail("cannot be opened");
    read_note();
    if (::ftruncate(descriptor_, file_.bytes) != 0) {
      ::close(descriptor_);
      fail("cannot be extended");
    }
    save();  // also what was taken over
  }
  ~PartFile() {
    try {
      if (fs::exists(path_)) save();
    } catch (const std::exception& error) {
      log_debug("hub", error.what());  // what is not noted is fetched again
    }
    ::close(descriptor_);
  }
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;

  int64_t bytes() const {
    const std::lock_guard guard(mutex_);
    return there_.count();
  }
  bool full() const { return bytes() == file_.bytes; }

  std::vector<ByteRange> missing() const {
    return there_.missing(file_.bytes, part_bytes(file_.bytes));
  }

  void write(int64_t offset, std::string_view part) {
    const ByteRange range{offset, offset + static_cast<int64_t>(part.size())};
    while (!part.empty()) {
      const ssize_t written = ::pwrite(descriptor_, part.data(), part.size(), offset);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail("cannot be written");
      part.remove_prefix(static_cast<size_t>(written));
      offset += written;
    }
    const std::lock_guard guard(mutex_);
    there_.add(range);
  }

  // The data first: a note must not say more than the disk has.
  void save() const {
    const std::lock_guard one_at_a_time(note_mutex_);
    Json there;
    {
      const std::lock_guard guard(mutex_);
      there = there_.json();
    }
    if (::fdatasync(descriptor_) != 0) fail("cannot be synced");
    write_json(note_, {{"etag", file_.etag()}, {"bytes", file_.bytes}, {"there", there}});
  }

  bool verified() const {
    std::optional<Hasher> hasher;
    start_blob_digest(hasher, file_);
    std::string buffer(1 << 20, '\0');
    for (int64_t at = 0; at < file_.bytes;) {
      throw_if_transfer_stopped();
      const ssize_t got = ::pread(descriptor_, buffer.data(), buffer.size(), at);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) fail("cannot be read");
      hasher->update({buffer.data(), static_cast<size_t>(got)});
      at += got;
    }
    return hasher->hex() == file_.etag();
  }

  void clear() {
    const std::lock_guard guard(mutex_);
    there_.clear();
  }

  void become(const fs::path& destination) {
    if (::fsync(descriptor_) != 0) fail("cannot be synced");
    fs::rename(path_, destination);
    sync_folder(destination.parent_path());
    std::error_code ignored;
    fs::remove(note_, ignored);
  }

  void discard() {
    std::error_code ignored;
    fs::remove(path_, ignored);
    fs::remove(note_, ignored);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw_file_error(path_, what); }

  // A beginning that was fetched in one piece is the first range.
  void take_over(const fs::path& incomplete) {
    std::error_code failed;
    const auto size = static_cast<int64_t>(fs::file_size(incomplete, failed));
    if (failed || fs::exists(note_) || size <= 0 || size > file_.bytes) return;
    fs::rename(incomplete, path_);
    there_.add({0, size});
  }

  void read_note() {
    std::error_code ignored;
    if (!fs::is_regular_file(note_, ignored) || fs::file_size(note_, ignored) > (16 << 20)) return;
    try {
      const Json note = read_json(note_);
      const std::string where = note_.string();
      if (json_get<std::string>(note, "etag", where) != file_.etag()) return;
      if (json_get<int64_t>(note, "bytes", where) != file_.bytes) return;
      there_ = ByteRanges::from_json(json_get<Json>(note, "there", where), file_.bytes, where);
    } catch (const Error& error) {
      log_debug("hub", cat(error.what(), "; fetched again"));
    }
  }

  fs::path path_, note_;
  const HubFile& file_;
  int descriptor_ = -1;
  mutable std::mutex note_mutex_;
  mutable std::mutex mutex_;  // of there_
  ByteRanges there_;
};

// One pass over what is missing.
class PartFetch {
 public:
  PartFetch(const std::string& url, PartFile& target, const HubSettings& settings,
            TransferState& state)
      : url_(url), target_(target), settings_(settings), state_(state), parts_(target.missing()) {}

  // The last reply that matters: a refusal, or one that is ok().
  HttpReply run(int connections) {
    std::vector<std::thread> crew;
    const auto count = std::min<size_t>(static_cast<size_t>(connections), parts_.size());
    for (size_t i = 0; i < count; ++i) crew.emplace_back([this] { work(); });
    for (std::thread& thread : crew) thread.join();
    if (error_) std::rethrow_exception(error_);
    if (state_.cancelled) throw TransferCancelled();
    return refusal_;
  }

 private:
  void work() {
    try {
      HttpClient client(settings_);
      while (!stopped()) {
        const size_t part = next_++;
        if (part >= parts_.size()) return;
        const HttpReply reply = fill(client, parts_[part]);
        target_.save();
        if (!reply.ok()) fail_with(reply);
      }
    } catch (const TransferCancelled&) {
    } catch (...) {
      const std::lock_guard guard(mutex_);
      if (!error_) error_ = std::current_exception();
      stop_ = true;
    }
  }

  bool stopped() const { return stop_ || state_.cancelled; }

  void fail_with(const HttpReply& reply) {
    const std::lock_guard guard(mutex_);
    if (!stop_) refusal_ = reply;
    stop_ = true;
  }

  // Requests until the part is full or nothing helps.
  HttpReply fill(HttpClient& client, ByteRange part) {
    for (int attempt = 1;; ++attempt) {
      const int64_t before = part.begin;
      HttpReply reply = request(client, part);
      if (stopped()) throw TransferCancelled();
      if (part.begin == part.end || !may_be_tried_again(reply)) return reply;
      if (part.begin > before) attempt = 1;
      if (attempt >= settings_.attempts) return reply;
      wait_to_retry(url_, attempt, reply, settings_, &stop_);
    }
  }

  // One request; `part` shrinks by what arrived.
  HttpReply request(HttpClient& client, ByteRange& part) {
    bool first = true;
    HttpGet get{.first_byte = part.begin, .last_byte = part.end - 1};
    get.cancelled = [this] { return stopped(); };
    get.sink = [&](const HttpReply& head, std::string_view bytes) {
      const auto count = static_cast<int64_t>(bytes.size());
      if (first &&
          (head.status != 206 || first_byte_of(head.header("content-range")) != part.begin))
        throw NoRanges();
      if (count > part.end - part.begin) throw NoRanges();
      first = false;
      target_.write(part.begin, bytes);
      part.begin += count;
      state_.bytes += count;
    };
    const std::string address = direct_address();
    HttpReply reply = client.get(address.empty() ? url_ : address, get);
    const bool refused = reply.failure.empty() && !reply.ok() && !may_be_tried_again(reply);
    if (refused && !address.empty()) {  // the address was good for a while only
      remember(address, "");
      reply = client.get(url_, get);
    }
    if (part.begin == part.end) reply.failure.clear();
    if (reply.ok() && part.begin < part.end) reply.failure = "the connection ended early";
    if (reply.ok()) remember("", reply.url == url_ ? "" : reply.url);
    return reply;
  }

  // Where the hub's answers lead, so that not every part has to ask it.
  std::string direct_address() {
    const std::lock_guard guard(mutex_);
    return direct_;
  }
  void remember(const std::string& old, const std::string& address) {
    const std::lock_guard guard(mutex_);
    if (direct_ == old) direct_ = address;
  }

  const std::string& url_;
  PartFile& target_;
  const HubSettings& settings_;
  TransferState& state_;
  std::vector<ByteRange> parts_;
  std::atomic<size_t> next_{0};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::exception_ptr error_ = nullptr;
  std::string direct_;
  HttpReply refusal_ = {.status = 200, .headers = {}, .body = {}, .failure = {}, .url = {}};
};

}  // namespace

int64_t part_bytes(int64_t bytes) {
  return std::clamp<int64_t>(bytes / 64, int64_t{4} << 20, int64_t{64} << 20);
}

std::optional<HttpReply> fetch_in_parts(const std::string& url, const HubFile& file,
                                        const fs::path& destination, const HubSettings& settings,
                                        int connections, TransferState& state) {
  PartFile target(destination, file);
  state.bytes += target.bytes();
  check_space(destination.parent_path(), file.bytes - target.bytes());
  try {
    for (int attempt = 1; attempt <= kContentAttempts; ++attempt) {
      const HttpReply reply = PartFetch(url, target, settings, state).run(connections);
      if (!target.full() || !reply.ok()) return reply;
      if (target.verified()) {
        target.become(destination);
        return reply;
      }
      log_warning("hub", url + ": what arrived has another digest than listed; fetching it again");
      state.bytes -= target.bytes();
      target.clear();
    }
  } catch (const NoRanges&) {
    log_debug("hub", url + ": the server sends no ranges");
    state.bytes -= target.bytes();
    target.discard();
    return std::nullopt;
  }
  target.discard();
  throw Error({.what = "arrives with another digest than the hub lists",
               .where = url,
               .expected = file.etag(),
               .hint = "is a proxy changing it, or the hub's copy damaged?"});
}

}  // namespace gradus
