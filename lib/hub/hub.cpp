// SPDX-License-Identifier: Apache-2.0
#include "hub/hub.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/log.h"
#include "hub/cache.h"
#include "hub/fetch.h"
#include "hub/selection.h"

namespace gradus {
namespace {

enum class Wanted { kModel, kModelText, kData };

// One reference on its way to a local path. The listing is the hub's, the cache's copy of it, or,
// without either, what the snapshot holds.
class Resolver {
 public:
  explicit Resolver(const std::string& text, HubSettings settings = hub_settings_from_environment())
      : settings_(std::move(settings)),
        reference_(parse_hub_reference(text)),
        cache_(settings_.cache, reference_),
        remote_(settings_, reference_, cache_) {}

  HubReference pinned() {
    HubReference result = reference_;
    result.revision = commit();
    return result;
  }

  fs::path resolve(Wanted wanted) {
    commit();
    find_listing();
    const HubPaths& all = paths_;
    const std::string where = to_string(reference_);
    if (std::binary_search(all.begin(), all.end(), reference_.path)) {
      fetch(named_file(all, reference_.path, where));
    } else if (!has_folder(all, reference_.path)) {
      missing(reference_.path);
    } else if (wanted == Wanted::kModelText) {
      fetch(model_text_files(all, reference_.path));
    } else if (wanted == Wanted::kModel) {
      fetch_model(where);
    } else {
      fetch_data(where);
    }
    return cache_.file(commit_, reference_.path);
  }

 private:
  const std::string& commit() {
    if (!commit_.empty()) return commit_;
    const std::string known = cache_.known_commit(reference_.revision);
    if (is_commit(reference_.revision)) {
      commit_ = reference_.revision;
    } else if (settings_.access == HubAccess::kOffline) {
      commit_ = known;
    } else if (const auto answer = remote_.commit()) {
      commit_ = *answer;
      cache_.remember_commit(reference_.revision, commit_);
    } else {
      use_cache_only();
      commit_ = known;
    }
    if (commit_.empty()) missing("revision '" + printable(reference_.revision) + "'");
    return commit_;
  }

  void use_cache_only() {
    settings_.access = HubAccess::kOffline;
    log_warning("hub", cat(to_string(reference_), ": ", remote_.problem(), "; using the cache"));
  }

  void find_listing() {
    if (auto known = cache_.known_listing(commit_)) {
      listing_ = std::move(*known);
    } else if (settings_.access == HubAccess::kOnline) {
      if (auto answer = remote_.listing(commit_)) {
        cache_.remember_listing(commit_, *answer);
        listing_ = std::move(*answer);
      } else {
        use_cache_only();
      }
    }
    if (listing_.empty()) {
      paths_ = cache_.files(commit_);
      if (paths_.empty()) missing("commit " + commit_);
    }
    for (const auto& [path, file] : listing_) paths_.push_back(path);
  }

  void fetch_model(const std::string& where) {
    const std::string& folder = reference_.path;
    fetch(model_text_files(paths_, folder));
    const std::string index = weights_index(paths_, folder);
    if (index.empty()) return fetch(single_weights(paths_, folder, where));
    const fs::path file = cache_.file(commit_, index);
    const HubPaths shards = shards_of_index(read_file(file), folder, file.string());
    for (const std::string& shard : shards) {
      if (!std::binary_search(paths_.begin(), paths_.end(), shard)) missing(shard);
    }
    fetch(shards);
  }

  void fetch_data(const std::string& where) {
    const HubPaths files = data_files_of(paths_, reference_.path);
    if (files.empty())
      throw Error({.what = "holds no data files",
                   .where = where,
                   .expected = ".jsonl, .csv or .txt, also with .gz or .zst behind",
                   .hint = "name a folder or a file: hf://datasets/owner/name/path"});
    fetch(files);
  }

  void fetch(const HubPaths& paths) {
    if (listing_.empty()) return;  // they are what the snapshot holds
    std::vector<std::string> absent;
    for (const std::string& path : paths) {
      if (!cache_.has(commit_, path, listing_.at(path))) absent.push_back(path);
    }
    if (absent.empty()) return;
    if (settings_.access == HubAccess::kOffline) missing(absent.front(), absent.size());
    remote_.fetch(commit_, listing_, absent);
  }

  [[noreturn]] void missing(const std::string& what, size_t count = 1) const {
    const bool offline = settings_.access == HubAccess::kOffline;
    const std::string more = count > 1 ? cat(" and ", count - 1, " more") : "";
    const std::string near = nearest_name(what, paths_);
    throw Error({.what = offline ? cat("the cache lacks ", printable(what, 200), more)
                                 : "has no " + printable(what, 200),
                 .where = to_string(reference_),
                 .found = offline ? settings_.cache.string() : "",
                 .hint = offline        ? "run once with network and without HF_HUB_OFFLINE"
                         : near.empty() ? ""
                                        : "did you mean " + printable(near, 200) + "?"});
  }

  HubSettings settings_;
  HubReference reference_;
  HubCache cache_;
  HubRemote remote_;
  std::string commit_;
  HubListing listing_;
  HubPaths paths_;  // sorted
};

}  // namespace

fs::path resolve_model(const std::string& reference) {
  return is_hub_reference(reference) ? Resolver(reference).resolve(Wanted::kModel)
                                     : fs::path(reference);
}

fs::path resolve_model_text(const std::string& reference) {
  return is_hub_reference(reference) ? Resolver(reference).resolve(Wanted::kModelText)
                                     : fs::path(reference);
}

fs::path cached_model(const std::string& reference) {
  HubSettings settings = hub_settings_from_environment();
  settings.access = HubAccess::kOffline;
  try {
    return Resolver(reference, settings).resolve(Wanted::kModel);
  } catch (const Error& error) {
    log_debug("hub", error.what());
    return {};
  }
}

fs::path resolve_data(const std::string& reference) {
  return is_hub_reference(reference) ? Resolver(reference).resolve(Wanted::kData)
                                     : fs::path(reference);
}

std::string pin_reference(const std::string& reference) {
  return is_hub_reference(reference) ? to_string(Resolver(reference).pinned()) : reference;
}

std::string recorded_path(const std::string& path) {
  const std::string source = hub_source(path);
  return source.empty() ? path : source;
}

}  // namespace gradus
