// SPDX-License-Identifier: Apache-2.0
// One repository on a hub: its commit, its listing, its files.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "hub/cache.h"
#include "hub/http.h"
#include "hub/transfer.h"

namespace gradus {

class HubRemote {
 public:
  // All three must outlive this.
  HubRemote(const HubSettings& settings, const HubReference& reference, const HubCache& cache)
      : settings_(settings), reference_(reference), cache_(cache) {}

  // nullopt when the hub cannot be reached or is out of order: problem() says why, and the cache
  // may still serve. A refusal (not found, gated, a wrong token) throws gradus::Error.
  std::optional<std::string> commit();
  std::optional<HubListing> listing(const std::string& commit);
  const std::string& problem() const { return problem_; }

  // Fetches files, several at a time, and links them into the snapshot.
  void fetch(const std::string& commit, const HubListing& listing,
             const std::vector<std::string>& paths);

 private:
  std::string api_url() const;
  std::string file_url(const std::string& commit, const std::string& path) const;
  // False when the reply is not usable and the cache should serve.
  bool usable(const HttpReply& reply);
  [[noreturn]] void refuse(const HttpReply& reply) const;
  void fetch_one(HttpClient& client, const std::string& commit, const std::string& path,
                 const HubFile& file, TransferState& state);
  HttpReply fetch_blob(HttpClient& client, const std::string& url, const HubFile& file,
                       TransferState& state);
  HttpClient& client();

  const HubSettings& settings_;
  const HubReference& reference_;
  const HubCache& cache_;
  int connections_ = 1;               // for one large file
  std::optional<HttpClient> client_;  // made at the first request
  std::string problem_;
};

}  // namespace gradus
