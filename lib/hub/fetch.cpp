// SPDX-License-Identifier: Apache-2.0
#include "hub/fetch.h"

#include <algorithm>
#include <exception>
#include <mutex>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/system.h"
#include "hub/parts.h"

namespace gradus {
namespace {

constexpr int kMaxPages = 1000;

// Takes the next file of a list until it is empty; the first failure ends all.
class Crew {
 public:
  Crew(size_t files, TransferState& state) : files_(files), state_(state) {}

  template <class F>
  void work(F fetch) {
    while (!state_.cancelled) {
      const size_t file = next_++;
      if (file >= files_) break;
      try {
        fetch(file);
      } catch (const TransferCancelled&) {
      } catch (...) {
        const std::lock_guard guard(mutex_);
        if (!error_) error_ = std::current_exception();
        state_.cancelled = true;
      }
    }
    ++finished_;
  }

  int finished() const { return finished_; }
  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  size_t files_;
  TransferState& state_;
  std::atomic<size_t> next_{0};
  std::atomic<int> finished_{0};
  std::mutex mutex_;
  std::exception_ptr error_ = nullptr;
};

void show_progress(const Crew& crew, int threads, const TransferState& state, int64_t total) {
  Progress progress("fetching", total, "bytes");
  while (crew.finished() < threads) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    progress.advance_to(state.bytes);
  }
  progress.advance_to(state.bytes);
}

}  // namespace

HttpClient& HubRemote::client() {
  if (!client_) client_.emplace(settings_);
  return *client_;
}

std::string HubRemote::api_url() const {
  const bool data = reference_.kind == HubKind::kDataset;
  return cat(settings_.endpoint, data ? "/api/datasets/" : "/api/models/", reference_.repository);
}

std::string HubRemote::file_url(const std::string& commit, const std::string& path) const {
  const bool data = reference_.kind == HubKind::kDataset;
  return cat(settings_.endpoint, data ? "/datasets/" : "/", reference_.repository, "/resolve/",
             commit, "/", url_encode_path(path));
}

void HubRemote::refuse(const HttpReply& reply) const {
  const std::string code = reply.header("x-error-code"), where = to_string(reference_);
  const bool anonymous = settings_.token.empty();
  if (code == "RevisionNotFound")
    throw Error({.what = "has no such revision",
                 .where = where,
                 .expected = "a branch, a tag or a commit of 40 digits",
                 .found = "'" + printable(reference_.revision) + "'"});
  if (code == "EntryNotFound") throw Error({.what = "has no such file", .where = where});
  const std::string message = reply.header("x-error-message");
  if (message == "Access to this resource is disabled.")
    throw Error({.what = "is disabled: the hub gives it to nobody", .where = where});
  if (message.starts_with("Invalid credentials"))
    throw Error({.what = "the hub does not accept the access token",
                 .where = where,
                 .hint = cat("make a new one at ", settings_.endpoint,
                             "/settings/tokens and set HF_TOKEN, or unset it for public models")});
  if (code != "GatedRepo" && reply.status == 403)
    throw Error({.what = "the hub refuses access",
                 .where = where,
                 .found = message.empty() ? "status 403" : printable(message, 200),
                 .hint = anonymous ? "it may need HF_TOKEN" : "may this HF_TOKEN read it?"});
  if (code == "GatedRepo")
    throw Error(
        {.what = "is gated: its owner gives access on request",
         .where = where,
         .hint =
             cat("accept its conditions at ", settings_.endpoint,
                 reference_.kind == HubKind::kDataset ? "/datasets/" : "/", reference_.repository,
                 anonymous ? ", then set HF_TOKEN" : "; is HF_TOKEN of that account?")});
  if (reply.status == 404 || reply.status == 401)
    throw Error({.what = anonymous ? "is not on the hub, or is private"
                                   : "is not on the hub, or the token may not read it",
                 .where = where,
                 .found = cat("status ", reply.status, " from ", settings_.endpoint),
                 .hint = anonymous ? "check owner and name; private models need HF_TOKEN"
                                   : "check owner and name, and what HF_TOKEN may read"});
  throw Error({.what = "cannot be fetched from the hub",
               .where = where,
               .found = reply.failure.empty() ? cat("status ", reply.status) : reply.failure,
               .hint = "run again: what has arrived is kept"});
}

bool HubRemote::usable(const HttpReply& reply) {
  if (reply.ok()) return true;
  if (reply.failure.empty() && reply.status < 500 && reply.status != 429 && reply.status != 408)
    refuse(reply);
  problem_ = reply.failure.empty() ? cat(settings_.endpoint, " answers ", reply.status)
                                   : cat(settings_.endpoint, ": ", reply.failure);
  return false;
}

std::optional<std::string> HubRemote::commit() {
  const std::string url = api_url() + "/revision/" + url_encode(reference_.revision);
  const HttpReply reply = get_with_retries(client(), url, settings_);
  if (!usable(reply)) return std::nullopt;
  return commit_of(reply.body, url);
}

std::optional<HubListing> HubRemote::listing(const std::string& commit) {
  std::string url = api_url() + "/tree/" + commit + "?recursive=true&expand=false";
  const std::string origin = url_origin(settings_.endpoint);
  HubListing listing;
  for (int page = 0; page < kMaxPages; ++page) {
    const HttpReply reply = get_with_retries(client(), url, settings_);
    if (!usable(reply)) return std::nullopt;
    add_tree_page(listing, reply.body, url);
    url = next_page(reply.header("link"));
    if (url.empty()) return listing;
    if (url.starts_with('/')) url = settings_.endpoint + url;
    if (url_origin(url) != origin)
      throw Error({.what = "the next page of a listing is on another host",
                   .where = to_string(reference_),
                   .expected = origin,
                   .found = printable(url, 200)});
  }
  throw Error({.what = "the listing has too many pages",
               .where = to_string(reference_),
               .expected = cat("at most ", kMaxPages)});
}

HttpReply HubRemote::fetch_blob(HttpClient& client, const std::string& url, const HubFile& file,
                                TransferState& state) {
  const fs::path blob = cache_.blob(file.etag());
  if (file.bytes >= settings_.large_file && connections_ > 1) {
    if (auto reply = fetch_in_parts(url, file, blob, settings_, connections_, state)) return *reply;
  }
  return fetch_file(client, url, file, blob, settings_, state);
}

void HubRemote::fetch_one(HttpClient& client, const std::string& commit, const std::string& path,
                          const HubFile& file, TransferState& state) {
  const fs::path blob = cache_.blob(file.etag());
  const HubLock lock(cache_.lock_file(file.etag()));
  std::error_code failed;
  const uintmax_t there = fs::file_size(blob, failed);
  if (!failed && there == static_cast<uintmax_t>(file.bytes)) {
    state.bytes += file.bytes;  // another snapshot or process has it
  } else {
    const HttpReply reply = fetch_blob(client, file_url(commit, path), file, state);
    if (!reply.ok()) refuse(reply);
  }
  cache_.link(commit, path, file.etag());
}

void HubRemote::fetch(const std::string& commit, const HubListing& listing,
                      const std::vector<std::string>& paths) {
  std::vector<std::string> order = paths;  // the largest first: the last one alone is then short
  std::sort(order.begin(), order.end(), [&](const std::string& a, const std::string& b) {
    return listing.at(a).bytes > listing.at(b).bytes;
  });
  int64_t total = 0;
  for (const std::string& path : order) total += listing.at(path).bytes;
  log_info("hub",
           cat(to_string(reference_), ": fetching ", order.size(), " files, ", human_bytes(total)));
  const auto large = std::count_if(order.begin(), order.end(), [&](const std::string& path) {
    return listing.at(path).bytes >= settings_.large_file;
  });
  connections_ = settings_.connections /
                 std::clamp(static_cast<int>(std::min<int64_t>(large, settings_.parallel_files)), 1,
                            settings_.connections);
  TransferState state;
  Crew crew(order.size(), state);
  const auto threads =
      static_cast<int>(std::min(order.size(), static_cast<size_t>(settings_.parallel_files)));
  std::vector<std::thread> pool;
  for (int i = 0; i < threads; ++i) {
    pool.emplace_back([&] {
      HttpClient own(settings_);
      crew.work([&](size_t file) {
        fetch_one(own, commit, order[file], listing.at(order[file]), state);
      });
    });
  }
  show_progress(crew, threads, state, total);
  for (std::thread& thread : pool) thread.join();
  crew.rethrow();
}

}  // namespace gradus
