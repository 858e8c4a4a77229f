// SPDX-License-Identifier: Apache-2.0
// The folder layout that Python's huggingface_hub keeps, so that both find what the other fetched:
//
//   models--owner--name/blobs/ETAG               content, once
//   models--owner--name/snapshots/COMMIT/PATH    relative links to blobs
//   models--owner--name/refs/REVISION            the commit that a branch stood at
//   .locks/models--owner--name/ETAG.lock         held while a blob is written
//
// One addition: models--owner--name/.gradus/trees/COMMIT.json, the listing of a commit, which never
// changes. Python's own listings (trees/) are read; ours lie elsewhere because Python takes a
// snapshot without every listed file for incomplete, and we fetch only what is needed.
#pragma once

#include <optional>
#include <string>

#include "hub/listing.h"
#include "hub/reference.h"

namespace gradus {

class HubCache {
 public:
  HubCache(const fs::path& root, const HubReference& reference);

  fs::path snapshot(const std::string& commit) const;
  fs::path file(const std::string& commit, const std::string& path) const;
  fs::path blob(const std::string& etag) const { return repository_ / "blobs" / etag; }
  fs::path lock_file(const std::string& etag) const;

  // The commit that `revision` stood at when it was last asked for; "" if never.
  std::string known_commit(const std::string& revision) const;
  void remember_commit(const std::string& revision, const std::string& commit) const;
  // An unreadable listing counts as none.
  std::optional<HubListing> known_listing(const std::string& commit) const;
  void remember_listing(const std::string& commit, const HubListing& listing) const;

  // Whether `path` is there with the listed size.
  bool has(const std::string& commit, const std::string& path, const HubFile& file) const;
  // What a snapshot holds, relative to it and sorted.
  std::vector<std::string> files(const std::string& commit) const;
  // Makes the snapshot's `path` a link to a blob that exists.
  void link(const std::string& commit, const std::string& path, const std::string& etag) const;

 private:
  fs::path root_, repository_;
  std::string name_;
};

// Held by one process at a time, Python included (flock). Waits; SIGINT and SIGTERM end the wait.
class HubLock {
 public:
  explicit HubLock(const fs::path& file);
  ~HubLock();
  HubLock(const HubLock&) = delete;
  HubLock& operator=(const HubLock&) = delete;

 private:
  int descriptor_ = -1;
};

}  // namespace gradus
